// Parsing of a capture trigger's arguments: event type first, then 'option=value'.  Kept in a hash
// by trigger; an entry is made anew after its table changed.
#include "src/record/capture_options.h"

#include "src/base/ring.h"
#include "src/record/made_on.h"
#include "src/record/record.h"
#include "src/record/value_types.h"

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
            relation == entry->options->made_on || entry->options->has_composites ||
            entry->options->is_as_parent)
            entry->valid = false;
}

// Functions, casts, and names of schemas.
void on_function_change(Datum, CacheId, uint32) {
    on_relation_change(0, InvalidOid);
}

void create_cache() {
    HASHCTL control = {};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(CacheEntry);
    cache = hash_create("whisperer capture options", 32, &control, HASH_ELEM | HASH_BLOBS);
    CacheRegisterRelcacheCallback(on_relation_change, 0);
    CacheRegisterSyscacheCallback(PROCOID, on_function_change, 0);
    CacheRegisterSyscacheCallback(CASTSOURCETARGET, on_function_change, 0);
    CacheRegisterSyscacheCallback(NAMESPACEOID, on_function_change, 0);
}

// What is being resolved.  desc: the row type that names of columns are looked up in.
struct Resolution {
    Relation relation;
    const Trigger* trigger;
    TupleDesc desc;
    CaptureOptions* options;
};

const char* name_of(const Resolution& of) {
    return of.trigger->tgname;
}

[[noreturn]] void bad_option(const Resolution& of, const char* option, const char* problem) {
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("trigger \"%s\" on table \"%s\": %s", name_of(of),
                   RelationGetRelationName(of.relation), problem),
            errdetail("The option is \"%s\".", option),
            errhint("Options of whisperer.capture: serializer=function, columns=a,b, include=old, "
                    "changed=a,b, key=a,b, on_error=record, as=parent."));
    pg_unreachable();
}

// Where more than one thing is gone, the first is told of.
void note_gone(const Resolution& of, int code, const char* message, const char* hint) {
    CaptureOptions* options = of.options;
    if (options->gone)
        return;
    options->gone = message;
    options->gone_hint = hint;
    options->gone_code = code;
}

// 0: it is gone.
AttrNumber column_number(const Resolution& of, const char* name) {
    for (int i = 0; i < of.desc->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(of.desc, i);
        if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
            return (AttrNumber)(i + 1);
    }
    note_gone(of, ERRCODE_UNDEFINED_COLUMN,
              psprintf("trigger \"%s\": column \"%s\" of table \"%s\" does not exist", name_of(of),
                       name, RelationGetRelationName(of.relation)),
              "Create the trigger anew with columns that the table has.");
    return 0;
}

// "a,b" as identifiers, quoted where SQL would quote them.
int parse_columns(const Resolution& of, const char* option, const char* list,
                  AttrNumber** columns) {
    List* names;
    if (!SplitIdentifierString(pstrdup(list), ',', &names) || names == NIL)
        bad_option(of, option, "bad list of columns");
    *columns = (AttrNumber*)palloc(sizeof(AttrNumber) * list_length(names));
    int count = 0;
    ListCell* cell;
    foreach (cell, names) {
        (*columns)[count] = column_number(of, (const char*)lfirst(cell));
        count += (*columns)[count] != 0;
    }
    if (count == 0)
        of.options->problem = "the table has no column that the trigger names";
    return count;
}

// The function of this name for rows of the type, or else of its nearest parent: PostgreSQL takes a
// partition's row, or a child's, for its parent's.  Who writes need not have USAGE on the schema:
// the trigger names it, not he.
Oid serializer_for(List* names, Oid row_type, Oid* taken) {
    Oid schema = get_namespace_oid(strVal(linitial(names)), true);
    Oid found = InvalidOid;
    *taken = InvalidOid;
    CatCList* functions =
        SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(strVal(lsecond(names))));
    for (int i = 0; i < functions->n_members && *taken != row_type; i++) {
        Form_pg_proc function = (Form_pg_proc)GETSTRUCT(&functions->members[i]->tuple);
        if (function->pronamespace != schema || function->pronargs != 1)
            continue;
        Oid takes = function->proargtypes.values[0];
        if (takes == row_type || (typeInheritsFrom(row_type, takes) &&
                                  (!OidIsValid(found) || typeInheritsFrom(takes, *taken)))) {
            found = function->oid;
            *taken = takes;
        }
    }
    ReleaseCatCacheList(functions);
    return found;
}

void resolve_serializer(const Resolution& of, const char* option, const char* name) {
    CaptureOptions* options = of.options;
    List* names = pg_qualified_names(name);
    // The writing user's search_path must not decide which it is.
    if (list_length(names) != 2)
        bad_option(of, option, "the serializer must be named with its schema");
    Oid row_type = get_rel_type_id(options->made_on);
    Oid taken;
    options->serializer = serializer_for(names, row_type, &taken);
    if (!OidIsValid(options->serializer)) {
        note_gone(of, ERRCODE_UNDEFINED_FUNCTION,
                  psprintf("trigger \"%s\": serializer %s(%s) does not exist", name_of(of), name,
                           format_type_be(row_type)),
                  "A serializer takes the row type of the table and returns json or jsonb.");
        options->problem = "the serializer of the trigger does not exist";
        return;
    }
    Oid result = get_func_rettype(options->serializer);
    if ((result != JSONOID && result != JSONBOID) || get_func_retset(options->serializer)) {
        options->problem = "the serializer of the trigger does not return json or jsonb";
        note_gone(
            of, ERRCODE_INVALID_PARAMETER_VALUE,
            psprintf("trigger \"%s\" on table \"%s\": the serializer must return json or jsonb",
                     name_of(of), RelationGetRelationName(of.relation)),
            "A serializer takes the row type of the table and returns json or jsonb.");
        return;
    }
    options->serializer_gives_jsonb = result == JSONBOID;
    if (taken == row_type)
        return;
    options->serializer_desc = lookup_rowtype_tupdesc_copy(taken, -1);
    options->to_serializer_desc = convert_tuples_by_name(of.desc, options->serializer_desc);
}

Bitmapset* primary_key_of(Oid table) {
    Bitmapset* key = nullptr;
    Relation indexes = table_open(IndexRelationId, AccessShareLock);
    ScanKeyData scan_key;
    ScanKeyInit(&scan_key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(table));
    SysScanDesc scan =
        systable_beginscan(indexes, IndexIndrelidIndexId, true, nullptr, 1, &scan_key);
    while (HeapTuple tuple = systable_getnext(scan)) {
        Form_pg_index index = (Form_pg_index)GETSTRUCT(tuple);
        for (int i = 0; index->indisprimary && index->indisvalid && i < index->indnkeyatts; i++)
            key = bms_add_member(key, index->indkey.values[i]);
    }
    systable_endscan(scan);
    table_close(indexes, AccessShareLock);
    return key;
}

// In the order of the table's columns.  A partitioned table may have none where its partition does.
void use_primary_key(const Resolution& of) {
    CaptureOptions* options = of.options;
    Bitmapset* key = primary_key_of(options->made_on);
    TupleDesc own = RelationGetDescr(of.relation);
    if (key == nullptr && options->desc && of.relation->rd_rel->relispartition) {
        Bitmapset* partitions_key = primary_key_of(RelationGetRelid(of.relation));
        for (int member = -1; (member = bms_next_member(partitions_key, member)) >= 0;)
            key = bms_add_member(
                key, column_number(of, NameStr(TupleDescAttr(own, member - 1)->attname)));
    }
    options->keys = (AttrNumber*)palloc(sizeof(AttrNumber) * Max(bms_num_members(key), 1));
    for (int member = -1; (member = bms_next_member(key, member)) >= 0;)
        options->keys[options->key_count++] = (AttrNumber)member;
}

void parse_option(const Resolution& of, const char* option) {
    CaptureOptions* options = of.options;
    const char* equals = strchr(option, '=');
    if (equals == nullptr)
        bad_option(of, option, "an option must be written as name=value");
    const char* value = equals + 1;
    char* name = pnstrdup(option, equals - option);
    if (strcmp(name, "serializer") == 0) {
        resolve_serializer(of, option, value);
    } else if (strcmp(name, "columns") == 0) {
        options->column_count = parse_columns(of, option, value, &options->columns);
    } else if (strcmp(name, "changed") == 0) {
        options->changed_count = parse_columns(of, option, value, &options->changed);
    } else if (strcmp(name, "key") == 0) {
        options->key_count = parse_columns(of, option, value, &options->keys);
    } else if (strcmp(name, "include") == 0) {
        if (strcmp(value, "old") != 0)
            bad_option(of, option, "include takes only the value old");
        options->include_old = true;
    } else if (strcmp(name, "on_error") == 0) {
        if (strcmp(value, "record") != 0)
            bad_option(of, option, "on_error takes only the value record");
        options->records_errors = true;
    } else if (strcmp(name, "as") == 0) {
        if (strcmp(option, as_parent_option) != 0)
            bad_option(of, option, "as takes only the value parent");
    } else {
        bad_option(of, option, "unknown option");
    }
}

// The row type of the chosen columns, in the order in which they were named.
TupleDesc make_columns_desc(const Resolution& of) {
    TupleDesc chosen = CreateTemplateTupleDesc(of.options->column_count);
    for (int i = 0; i < of.options->column_count; i++)
        TupleDescCopyEntry(chosen, (AttrNumber)(i + 1), of.desc, of.options->columns[i]);
    pg_finalize(chosen);
    return BlessTupleDesc(chosen);
}

Oid type_of(TupleDesc desc, AttrNumber column) {
    return TupleDescAttr(desc, column - 1)->atttypid;
}

void resolve_keys(const Resolution& of) {
    CaptureOptions* options = of.options;
    options->key_outputs = (FmgrInfo*)palloc0(sizeof(FmgrInfo) * Max(options->key_count, 1));
    for (int i = 0; i < options->key_count; i++) {
        Oid type = type_of(of.desc, options->keys[i]);
        Oid output;
        bool is_varlena;
        getTypeOutputInfo(type, &output, &is_varlena);
        fmgr_info(output, &options->key_outputs[i]);
        options->key_follows_session |= text_follows_session(type);
    }
}

void look_at_type(Oid type, CaptureOptions* options) {
    options->has_composites |= has_row_type(type);
    if (OidIsValid(options->serializer))
        return;
    options->data_follows_session |= text_follows_session(type);
    options->calls_casts |= json_is_by_cast(type);
    options->may_be_no_json |= json_may_be_invalid(type);
}

void look_at_types(const Resolution& of) {
    CaptureOptions* options = of.options;
    options->may_be_no_json = OidIsValid(options->serializer) && !options->serializer_gives_jsonb;
    TupleDesc desc = options->columns_desc ? options->columns_desc : of.desc;
    for (int i = 0; i < desc->natts; i++)
        if (!TupleDescAttr(desc, i)->attisdropped)
            look_at_type(TupleDescAttr(desc, i)->atttypid, options);
}

void name_source(CaptureOptions* options) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(options->made_on));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", options->made_on);
    Form_pg_class form = (Form_pg_class)GETSTRUCT(tuple);
    options->table_owner = form->relowner;
    options->is_in_ring = is_in_ring(options->made_on);
    // In one form, also where quote_all_identifiers is set.
    int level = NewGUCNestLevel();
    (void)set_config_option("quote_all_identifiers", "off", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
    options->source = cstring_to_text(
        quote_qualified_identifier(get_namespace_name(form->relnamespace), NameStr(form->relname)));
    AtEOXact_GUC(true, level);
    ReleaseSysCache(tuple);
}

void find_made_on(Relation relation, const Trigger& trigger, CaptureOptions* options) {
    Oid table = table_of_trigger(relation, trigger, &options->operations);
    options->is_as_parent = is_as_parent(trigger);
    options->is_orphan = !OidIsValid(table);
    if (OidIsValid(table))
        options->made_on = table;
}

// trigger: null for a table without one.  The parent's row type comes without a lock on it, which
// writing into a partition does not take either.
Resolution begin_resolution(Relation relation, const Trigger* trigger, CaptureOptions* options) {
    options->made_on = RelationGetRelid(relation);
    if (trigger)
        find_made_on(relation, *trigger, options);
    name_source(options);
    if (options->made_on != RelationGetRelid(relation)) {
        options->desc = lookup_rowtype_tupdesc_copy(get_rel_type_id(options->made_on), -1);
        options->to_desc = convert_tuples_by_name(
            CreateTupleDescCopyConstr(RelationGetDescr(relation)), options->desc);
    }
    return {relation, trigger, options->desc ? options->desc : RelationGetDescr(relation), options};
}

void end_resolution(const Resolution& of) {
    CaptureOptions* options = of.options;
    if (options->column_count > 0)
        options->columns_desc = make_columns_desc(of);
    if (options->key_count == 0)
        use_primary_key(of);
    resolve_keys(of);
    look_at_types(of);
}

void fill(Relation relation, const Trigger* trigger, CaptureOptions* options) {
    if (trigger->tgnargs < 1)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("trigger \"%s\" on table \"%s\" names no event type", trigger->tgname,
                       RelationGetRelationName(relation)),
                errhint("Write EXECUTE FUNCTION whisperer.capture('<event type>')."));
    options->event_type = pstrdup(trigger->tgargs[0]);
    check_event_type_name(options->event_type);
    Resolution of = begin_resolution(relation, trigger, options);
    // What they name is of a table that is not known.
    if (options->is_orphan)
        return;
    for (int i = 1; i < trigger->tgnargs; i++)
        parse_option(of, trigger->tgargs[i]);
    if (options->column_count > 0 && OidIsValid(options->serializer))
        bad_option(of, "columns", "columns and serializer exclude each other");
    end_resolution(of);
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

const CaptureOptions* make_entry(Relation relation, const Trigger* trigger) {
    forget_invalid();
    uint64 changes_before = changes;
    // Belongs to the transaction until it is whole, so that an error leaves nothing behind.
    MemoryContext context = AllocSetContextCreate(
        TopTransactionContext, "whisperer capture trigger", ALLOCSET_SMALL_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(context);
    CaptureOptions* options = (CaptureOptions*)palloc0(sizeof(CaptureOptions));
    fill(relation, trigger, options);
    MemoryContextSwitchTo(caller);
    if (changes != changes_before)
        return options;
    bool found;
    CacheEntry* entry = (CacheEntry*)hash_search(cache, &trigger->tgoid, HASH_ENTER, &found);
    Assert(!found);
    entry->relation = RelationGetRelid(relation);
    entry->context = context;
    entry->options = options;
    entry->valid = true;
    MemoryContextSetParent(context, CacheMemoryContext);
    return options;
}

}  // namespace

const CaptureOptions* capture_options(Relation relation, const Trigger* trigger) {
    if (cache == nullptr)
        create_cache();
    CacheEntry* entry = (CacheEntry*)hash_search(cache, &trigger->tgoid, HASH_FIND, nullptr);
    return entry && entry->valid ? entry->options : make_entry(relation, trigger);
}

void require_whole(const CaptureOptions& options) {
    if (options.gone)
        ereport(ERROR, errcode(options.gone_code), errmsg("%s", options.gone),
                errhint("%s", options.gone_hint));
}

bool is_warned(const CaptureOptions& options) {
    FullTransactionId transaction = GetTopFullTransactionId();
    bool is_warned = FullTransactionIdEquals(options.warned_in, transaction);
    options.warned_in = transaction;
    return is_warned;
}

void warn_of_gone(const CaptureOptions& options) {
    if (options.gone && !is_warned(options))
        ereport(WARNING, errcode(options.gone_code), errmsg("%s", options.gone),
                errdetail(options.problem ? "Its events are recorded, and fail."
                                          : "Its events are recorded without it."),
                errhint("%s", options.gone_hint));
}

void check_transition_tables(Relation relation, const Trigger& trigger,
                             const CaptureOptions& options, int16 fired_by) {
    bool compares = options.include_old || options.changed_count > 0;
    bool needs_old = TRIGGER_FOR_DELETE(fired_by) || (TRIGGER_FOR_UPDATE(fired_by) && compares);
    bool needs_new = TRIGGER_FOR_INSERT(fired_by) || TRIGGER_FOR_UPDATE(fired_by);
    if ((!needs_new || trigger.tgnewtable) && (!needs_old || trigger.tgoldtable))
        return;
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("trigger \"%s\" on table \"%s\" lacks a transition table", trigger.tgname,
                   RelationGetRelationName(relation)),
            errhint("Add REFERENCING %s to the FOR EACH STATEMENT trigger, or make it FOR EACH "
                    "ROW.",
                    !needs_new  ? "OLD TABLE AS old_rows"
                    : needs_old ? "OLD TABLE AS old_rows NEW TABLE AS new_rows"
                                : "NEW TABLE AS new_rows"));
}

static int publisher_hint(const CaptureOptions& options) {
    return errhint(
        "The event type's owner can call whisperer.allow('%s', %s, 'publish').", options.event_type,
        quote_literal_cstr(quote_identifier(GetUserNameFromId(options.table_owner, false))));
}

void warn_of_publisher(const CaptureOptions& options) {
    bool registered;
    if (may_publish(options.table_owner, options.event_type, &registered) || is_warned(options))
        return;
    ereport(WARNING, errcode(ERRCODE_WARNING),
            errmsg("event type \"%s\" is recorded for nobody: \"%s\" may not publish it",
                   options.event_type, GetUserNameFromId(options.table_owner, true)),
            publisher_hint(options));
}

void require_publisher(Relation relation, const Trigger& trigger, const CaptureOptions& options) {
    bool registered;
    if (may_publish(options.table_owner, options.event_type, &registered))
        return;
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied to publish event type \"%s\"", options.event_type),
            errdetail("Trigger \"%s\" publishes with the rights of \"%s\", the owner of table "
                      "\"%s\".",
                      trigger.tgname, GetUserNameFromId(options.table_owner, true),
                      RelationGetRelationName(relation)),
            publisher_hint(options));
}

TriggerDesc* copied_triggers(Relation relation) {
    return CopyTriggerDesc(relation->trigdesc);
}

const CaptureOptions* plain_options(Relation relation) {
    CaptureOptions* options = (CaptureOptions*)palloc0(sizeof(CaptureOptions));
    end_resolution(begin_resolution(relation, nullptr, options));
    return options;
}

}  // namespace whisperer::pg
