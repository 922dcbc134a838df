// The cache of which hooks want an event type; see hook_types.h.
#include "src/hooks/hook_types.h"

#include "src/base/encoding.h"
#include "src/base/transaction.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// A schema is kept as a tree of values.  Whoever may register types may register many, and all that
// were met are kept: with no bound they would take the memory of everybody's worker.
constexpr int64 schema_growth = 10;
constexpr int64 share_of_memory = 8;

// The rule of whisperer_internal.names, which decides; here it says what is to be asked again.
bool names(const char* pattern, const char* event_type) {
    for (;;) {
        size_t length = strcspn(pattern, ",");
        bool is_prefix = length > 0 && pattern[length - 1] == '*';
        size_t same = is_prefix ? length - 1 : length;
        if (strncmp(pattern, event_type, same) == 0 && (is_prefix || event_type[same] == '\0'))
            return true;
        if (pattern[length] == '\0')
            return false;
        pattern += length + strspn(pattern + length, ", ");
    }
}

void forget_type(HookSet* set, TypeEntry* entry) {
    if (entry->hooks)
        pfree(entry->hooks);
    whisperer_schema_destroy(entry->schema);
    set->schema_bytes -= entry->schema_bytes;
    set->last_type = nullptr;
    hash_search(set->by_type, entry->name, HASH_REMOVE, nullptr);
}

void find_matching(HookSet* set, TypeEntry* entry, Oid recorder) {
    static SPIPlanPtr plan;
    const Oid types[] = {TEXTOID, OIDOID};
    Datum values[] = {CStringGetTextDatum(entry->name), ObjectIdGetDatum(recorder)};
    run_plan(kept_plan(&plan,
                       "SELECT h.id FROM whisperer.hook_definition h "
                       "WHERE h.is_active AND whisperer_internal.names(h.event_type, $1) "
                       "AND whisperer_internal.may_have(whisperer_internal.living_role(h.owner, "
                       "h.owner_name, h.incarnation), $1, $2) ORDER BY h.id",
                       lengthof(types), types),
             values, OidIsValid(recorder) ? nullptr : " n", true, 0, SPI_OK_SELECT);
    if (entry->hooks)
        pfree(entry->hooks);
    entry->recorder = recorder;
    entry->is_matched = true;
    entry->count = 0;
    entry->hooks = (Hook**)MemoryContextAlloc(set->context, sizeof(Hook*) * Max(SPI_processed, 1));
    for (uint64 row = 0; row < SPI_processed; row++) {
        Hook* hook = find_hook(set, int64_column((int)row, 1));
        if (hook)
            entry->hooks[entry->count++] = hook;
    }
}

// A schema that cannot be read here came from another version: no event is known to fit it.
void read_schema(HookSet* set, TypeEntry* entry, Datum schema) {
    text* json = DatumGetTextPP(schema);
    WhispererSpan utf8 = {};
    entry->has_schema = true;
    if (utf8_from_server(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), &utf8) &&
        whisperer_schema_create(utf8, filter_steps_max, &entry->schema, nullptr) ==
            WhispererOutOfMemory)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY),
                errmsg("whisperer: out of memory while a schema was read"),
                errhint("Raise whisperer.worker_memory."));
    entry->schema_bytes = entry->schema ? schema_growth * (int64)utf8.size : 0;
    set->schema_bytes += entry->schema_bytes;
}

// Leaves the rows of the caller's query as they are.
void find_type(HookSet* set, TypeEntry* entry) {
    static SPIPlanPtr plan;
    SPITupleTable* callers_rows = SPI_tuptable;
    uint64 callers_count = SPI_processed;
    const Oid types[] = {TEXTOID};
    Datum values[] = {CStringGetTextDatum(entry->name)};
    run_plan(kept_plan(&plan,
                       "SELECT schema::text, on_invalid = 'send' FROM whisperer.event_type "
                       "WHERE name = $1",
                       lengthof(types), types),
             values, nullptr, true, 1, SPI_OK_SELECT);
    entry->registered = SPI_processed > 0;
    entry->sends_invalid = entry->registered && bool_column(0, 2);
    Datum schema = entry->registered ? datum_column(0, 1) : (Datum)0;
    if (schema)
        read_schema(set, entry, schema);
    SPI_freetuptable(SPI_tuptable);
    SPI_tuptable = callers_rows;
    SPI_processed = callers_count;
}

// Each event asks for its type more than once, and so do those of one statement.
TypeEntry* entry_of(HookSet* set, const char* event_type) {
    if (set->last_type && strcmp(set->last_type->name, event_type) == 0)
        return set->last_type;
    char key[sizeof(TypeEntry::name)];
    strlcpy(key, event_type, sizeof key);
    bool found;
    TypeEntry* entry = (TypeEntry*)hash_search(set->by_type, key, HASH_ENTER, &found);
    if (!found) {
        *entry = {};
        strlcpy(entry->name, key, sizeof entry->name);
        find_type(set, entry);
    }
    set->last_type = entry;
    return entry;
}

}  // namespace

HTAB* create_types(MemoryContext context) {
    HASHCTL control = {};
    control.keysize = sizeof(TypeEntry::name);
    control.entrysize = sizeof(TypeEntry);
    control.hcxt = context;
    return hash_create("whisperer event types", 256, &control,
                       HASH_ELEM | HASH_CONTEXT | HASH_STRINGS);
}

void bound_types(HookSet* set) {
    int64 limit = settings.worker_memory_mb * (int64)(1024 * 1024) / share_of_memory;
    if (settings.worker_memory_mb >= 0 && set->schema_bytes > limit)
        forget_types(set, nullptr);
}

void forget_types(HookSet* set, const char* pattern) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, set->by_type);
    while (TypeEntry* entry = (TypeEntry*)hash_seq_search(&scan))
        if (pattern == nullptr || names(pattern, entry->name))
            forget_type(set, entry);
}

TypeEntry* hooks_for(HookSet* set, const char* event_type, Oid recorder) {
    TypeEntry* entry = entry_of(set, event_type);
    if (!entry->is_matched || entry->recorder != recorder)
        find_matching(set, entry, recorder);
    return entry;
}

const TypeEntry* type_of(HookSet* set, const char* event_type) {
    return entry_of(set, event_type);
}

}  // namespace whisperer::pg
