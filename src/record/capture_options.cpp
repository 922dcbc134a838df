// Parsing of a capture trigger's arguments: event type first, then 'option=value'.  Kept in a hash
// by trigger; an entry is made anew after its table changed.
#include "src/record/capture_options.h"

#include "src/base/ring.h"
#include "src/record/record.h"

namespace whisperer::pg {

namespace {

struct CacheEntry {
    Oid trigger;  // key
    Oid relation;
    bool valid;
    MemoryContext context;  // holds the options and all that they point to
    CaptureOptions* options;
};

HTAB* cache = nullptr;
// Counts what invalidated entries: options that were being made meanwhile are not valid either.
uint64 changes = 0;

void on_relation_change(Datum, Oid relation) {
    changes++;
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, cache);
    while (CacheEntry* entry = (CacheEntry*)hash_seq_search(&scan))
        if (relation == InvalidOid || relation == entry->relation ||
            relation == entry->options->made_on)
            entry->valid = false;
}

void on_function_change(Datum, int, uint32) {
    on_relation_change(0, InvalidOid);
}

void create_cache() {
    HASHCTL control = {};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(CacheEntry);
    cache = hash_create("whisperer capture options", 32, &control, HASH_ELEM | HASH_BLOBS);
    CacheRegisterRelcacheCallback(on_relation_change, 0);
    CacheRegisterSyscacheCallback(PROCOID, on_function_change, 0);
}

[[noreturn]] void bad_option(TriggerData* trigger, const char* option, const char* problem) {
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("trigger \"%s\" on table \"%s\": %s", trigger->tg_trigger->tgname,
                   RelationGetRelationName(trigger->tg_relation), problem),
            errdetail("The option is \"%s\".", option),
            errhint("Options of whisperer.capture: serializer=function, columns=a,b, include=old, "
                    "changed=a,b, key=a,b."));
    pg_unreachable();
}

AttrNumber column_number(TriggerData* trigger, const char* name) {
    AttrNumber number = get_attnum(RelationGetRelid(trigger->tg_relation), name);
    if (number <= 0)
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
                errmsg("trigger \"%s\": column \"%s\" of table \"%s\" does not exist",
                       trigger->tg_trigger->tgname, name,
                       RelationGetRelationName(trigger->tg_relation)),
                errhint("Create the trigger anew with columns that the table has."));
    return number;
}

// "a,b" as identifiers, quoted where SQL would quote them.
int parse_columns(TriggerData* trigger, const char* option, const char* list,
                  AttrNumber** columns) {
    List* names;
    if (!SplitIdentifierString(pstrdup(list), ',', &names) || names == NIL)
        bad_option(trigger, option, "bad list of columns");
    *columns = (AttrNumber*)palloc(sizeof(AttrNumber) * list_length(names));
    int count = 0;
    ListCell* cell;
    foreach (cell, names)
        (*columns)[count++] = column_number(trigger, (const char*)lfirst(cell));
    return count;
}

void resolve_serializer(TriggerData* trigger, const char* option, const char* name,
                        CaptureOptions* options) {
    List* names = pg_qualified_names(name);
    // The writing user's search_path must not decide which it is.
    if (list_length(names) != 2)
        bad_option(trigger, option, "the serializer must be named with its schema");
    Oid row_type = RelationGetForm(trigger->tg_relation)->reltype;
    options->serializer = LookupFuncName(names, 1, &row_type, true);
    if (!OidIsValid(options->serializer))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_FUNCTION),
                errmsg("trigger \"%s\": serializer %s(%s) does not exist",
                       trigger->tg_trigger->tgname, name, format_type_be(row_type)),
                errhint("A serializer takes the row type of the table and returns json or jsonb."));
    Oid result = get_func_rettype(options->serializer);
    if ((result != JSONOID && result != JSONBOID) || get_func_retset(options->serializer))
        bad_option(trigger, option, "the serializer must return json or jsonb");
    options->serializer_gives_jsonb = result == JSONBOID;
}

void use_primary_key(TriggerData* trigger, CaptureOptions* options) {
    Bitmapset* key =
        RelationGetIndexAttrBitmap(trigger->tg_relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
    options->keys = (AttrNumber*)palloc(sizeof(AttrNumber) * Max(bms_num_members(key), 1));
    int member = -1;
    while ((member = bms_next_member(key, member)) >= 0)
        options->keys[options->key_count++] = member + FirstLowInvalidHeapAttributeNumber;
}

void parse_option(TriggerData* trigger, const char* option, CaptureOptions* options) {
    const char* equals = strchr(option, '=');
    if (equals == nullptr)
        bad_option(trigger, option, "an option must be written as name=value");
    const char* value = equals + 1;
    char* name = pnstrdup(option, equals - option);
    if (strcmp(name, "serializer") == 0) {
        resolve_serializer(trigger, option, value, options);
    } else if (strcmp(name, "columns") == 0) {
        options->column_count = parse_columns(trigger, option, value, &options->columns);
    } else if (strcmp(name, "changed") == 0) {
        options->changed_count = parse_columns(trigger, option, value, &options->changed);
    } else if (strcmp(name, "key") == 0) {
        options->key_count = parse_columns(trigger, option, value, &options->keys);
    } else if (strcmp(name, "include") == 0) {
        if (strcmp(value, "old") != 0)
            bad_option(trigger, option, "include takes only the value old");
        options->include_old = true;
    } else {
        bad_option(trigger, option, "unknown option");
    }
}

// The row type of the chosen columns, in the order in which they were named.
TupleDesc make_columns_desc(TupleDesc table, const CaptureOptions* options) {
    TupleDesc chosen = CreateTemplateTupleDesc(options->column_count);
    for (int i = 0; i < options->column_count; i++)
        TupleDescCopyEntry(chosen, (AttrNumber)(i + 1), table, options->columns[i]);
    return BlessTupleDesc(chosen);
}

void resolve_outputs(TupleDesc table, CaptureOptions* options) {
    options->key_outputs = (FmgrInfo*)palloc0(sizeof(FmgrInfo) * Max(options->key_count, 1));
    for (int i = 0; i < options->key_count; i++) {
        Oid output;
        bool is_varlena;
        getTypeOutputInfo(TupleDescAttr(table, options->keys[i] - 1)->atttypid, &output,
                          &is_varlena);
        fmgr_info(output, &options->key_outputs[i]);
    }
}

// The table that the trigger was made on.  A partition's may be a clone of one further up; one that
// the partition's own owner made must not count as the partitioned table's.
Oid table_of_trigger(Oid trigger) {
    Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    Oid table = InvalidOid;
    while (OidIsValid(trigger)) {
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
                    ObjectIdGetDatum(trigger));
        SysScanDesc scan = systable_beginscan(triggers, TriggerOidIndexId, true, nullptr, 1, &key);
        HeapTuple tuple = systable_getnext(scan);
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "could not find trigger %u", trigger);
        table = ((Form_pg_trigger)GETSTRUCT(tuple))->tgrelid;
        trigger = ((Form_pg_trigger)GETSTRUCT(tuple))->tgparentid;
        systable_endscan(scan);
    }
    table_close(triggers, AccessShareLock);
    return table;
}

void name_source(TriggerData* trigger, CaptureOptions* options) {
    options->made_on = RelationGetRelid(trigger->tg_relation);
    if (trigger->tg_relation->rd_rel->relispartition)
        options->made_on = table_of_trigger(trigger->tg_trigger->tgoid);
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(options->made_on));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", options->made_on);
    Form_pg_class form = (Form_pg_class)GETSTRUCT(tuple);
    options->table_owner = form->relowner;
    options->is_in_ring = is_in_ring(options->made_on);
    options->source = cstring_to_text(
        quote_qualified_identifier(get_namespace_name(form->relnamespace), NameStr(form->relname)));
    ReleaseSysCache(tuple);
}

void fill(TriggerData* trigger, CaptureOptions* options) {
    Trigger* definition = trigger->tg_trigger;
    if (definition->tgnargs < 1)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("trigger \"%s\" on table \"%s\" names no event type", definition->tgname,
                       RelationGetRelationName(trigger->tg_relation)),
                errhint("Write EXECUTE FUNCTION whisperer.capture('<event type>')."));
    TupleDesc table = RelationGetDescr(trigger->tg_relation);
    options->event_type = pstrdup(definition->tgargs[0]);
    check_event_type_name(options->event_type);
    name_source(trigger, options);
    for (int i = 1; i < definition->tgnargs; i++)
        parse_option(trigger, definition->tgargs[i], options);
    if (options->column_count > 0 && OidIsValid(options->serializer))
        bad_option(trigger, "columns", "columns and serializer exclude each other");
    if (options->column_count > 0)
        options->columns_desc = make_columns_desc(table, options);
    if (options->key_count == 0)
        use_primary_key(trigger, options);
    resolve_outputs(table, options);
}

// Takes out what is no longer valid, the options of dropped triggers among them.  A trigger further
// up the stack may still use them, so they stay until the transaction ends.
void forget_invalid() {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, cache);
    while (CacheEntry* entry = (CacheEntry*)hash_seq_search(&scan)) {
        if (entry->valid)
            continue;
        MemoryContextSetParent(entry->context, TopTransactionContext);
        hash_search(cache, &entry->trigger, HASH_REMOVE, nullptr);
    }
}

const CaptureOptions* make_entry(TriggerData* trigger) {
    forget_invalid();
    uint64 changes_before = changes;
    // Belongs to the transaction until it is whole, so that an error leaves nothing behind.
    MemoryContext context = AllocSetContextCreate(
        TopTransactionContext, "whisperer capture trigger", ALLOCSET_SMALL_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(context);
    CaptureOptions* options = (CaptureOptions*)palloc0(sizeof(CaptureOptions));
    fill(trigger, options);
    MemoryContextSwitchTo(caller);
    if (changes != changes_before)
        return options;
    bool found;
    CacheEntry* entry =
        (CacheEntry*)hash_search(cache, &trigger->tg_trigger->tgoid, HASH_ENTER, &found);
    Assert(!found);
    entry->relation = RelationGetRelid(trigger->tg_relation);
    entry->context = context;
    entry->options = options;
    entry->valid = true;
    MemoryContextSetParent(context, CacheMemoryContext);
    return options;
}

}  // namespace

const CaptureOptions* capture_options(TriggerData* trigger) {
    if (cache == nullptr)
        create_cache();
    CacheEntry* entry =
        (CacheEntry*)hash_search(cache, &trigger->tg_trigger->tgoid, HASH_FIND, nullptr);
    return entry && entry->valid ? entry->options : make_entry(trigger);
}

}  // namespace whisperer::pg
