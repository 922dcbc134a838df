// The cache of which hooks want an event type; see hook_types.h.
#include "src/hooks/hook_types.h"

#include "src/base/transaction.h"

namespace whisperer::pg {

namespace {

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
    entry->count = 0;
    entry->hooks = (Hook**)MemoryContextAlloc(set->context, sizeof(Hook*) * Max(SPI_processed, 1));
    for (uint64 row = 0; row < SPI_processed; row++) {
        Hook* hook = find_hook(set, int64_column((int)row, 1));
        if (hook)
            entry->hooks[entry->count++] = hook;
    }
}

bool is_registered(const char* event_type) {
    static SPIPlanPtr plan;
    const Oid types[] = {TEXTOID};
    Datum values[] = {CStringGetTextDatum(event_type)};
    run_plan(kept_plan(&plan, "SELECT 1 FROM whisperer.event_type WHERE name = $1", lengthof(types),
                       types),
             values, nullptr, true, 1, SPI_OK_SELECT);
    return SPI_processed > 0;
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

void forget_types(HookSet* set, const char* pattern) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, set->by_type);
    while (TypeEntry* entry = (TypeEntry*)hash_seq_search(&scan))
        if (pattern == nullptr || names(pattern, entry->name))
            forget_type(set, entry);
}

TypeEntry* hooks_for(HookSet* set, const char* event_type, Oid recorder) {
    char key[sizeof(TypeEntry::name)] = {};
    strlcpy(key, event_type, sizeof key);
    bool found;
    TypeEntry* entry = (TypeEntry*)hash_search(set->by_type, key, HASH_ENTER, &found);
    if (!found) {
        entry->hooks = nullptr;
        entry->registered = is_registered(entry->name);
    }
    if (!found || entry->recorder != recorder)
        find_matching(set, entry, recorder);
    return entry;
}

}  // namespace whisperer::pg
