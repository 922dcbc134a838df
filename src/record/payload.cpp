// Values of a row as JSON and as a key; see payload.h.
#include "src/record/payload.h"

#include "src/base/event_id.h"
#include "src/base/json_text.h"
#include "src/base/session.h"
#include "src/record/virtual_columns.h"

namespace whisperer::pg {

namespace {

void pin(const PinnedSetting& setting) {
    (void)set_config_option(setting.name, setting.value, PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
}

// Etc/UTC, which initdb finds on many machines, differs from UTC in nothing but its name.
bool is_utc(const char* timezone) {
    return strcmp(timezone, "UTC") == 0 || strcmp(timezone, "Etc/UTC") == 0;
}

// What the text of names of objects (regclass and its kin) and of money follows.  Not pinned with
// the rest: it would choose what the names in a serializer mean, and is seldom needed.  Ended by
// unpin, which does nothing where nothing was pinned.  A cast of the user's, which finds tables of
// his by the search_path, keeps that: names are then as the session has them.
int pin_names(bool needed, bool calls_casts) {
    if (!needed)
        return 0;
    int level = NewGUCNestLevel();
    pin({"quote_all_identifiers", "off"});
    pin({"lc_monetary", "C"});
    if (!calls_casts)
        pin({"search_path", "pg_catalog, pg_temp"});
    return level;
}

void unpin(int level) {
    if (level > 0)
        AtEOXact_GUC(true, level);
}

// What serves all rows of a statement.  It lives where PostgreSQL keeps the state of the function
// that the statement calls (fn_extra), and goes with the statement, also after an error in the
// middle of a call.
struct StatementState {
    MemoryContext context;  // of all that is below
    FmgrInfo serializer;    // with what it keeps in turn, a plan for instance
    VirtualColumns* virtual_columns;
};

StatementState* statement_state(FmgrInfo* function) {
    if (function->fn_extra == nullptr) {
        StatementState* state =
            (StatementState*)MemoryContextAllocZero(function->fn_mcxt, sizeof(StatementState));
        state->context = AllocSetContextCreate(function->fn_mcxt, "whisperer capture statement",
                                               ALLOCSET_SMALL_SIZES);
        function->fn_extra = state;
    }
    return (StatementState*)function->fn_extra;
}

FmgrInfo* serializer_of(const PayloadMaker& maker) {
    StatementState* state = statement_state(maker.function);
    if (state->serializer.fn_oid != maker.options->serializer)
        fmgr_info_cxt(maker.options->serializer, &state->serializer, state->context);
    return &state->serializer;
}

Datum serialize(const PayloadMaker& maker, Datum row) {
    const CaptureOptions& options = *maker.options;
    AclResult allowed = pg_function_execute_check(options.serializer, GetUserId());
    if (allowed != ACLCHECK_OK)
        aclcheck_error(allowed, OBJECT_FUNCTION, get_func_name(options.serializer));
    LOCAL_FCINFO(call, 1);
    InitFunctionCallInfoData(*call, serializer_of(maker), 1, InvalidOid, nullptr, nullptr);
    call->args[0].value = row;
    call->args[0].isnull = false;
    Datum result = FunctionCallInvoke(call);
    if (call->isnull)
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("serializer %s returned null", get_func_name(options.serializer)),
                errhint("To record no event for some rows, give the trigger a WHEN condition."));
    if (!options.serializer_gives_jsonb)
        return result;
    return CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(jsonb_out, result)));
}

Datum chosen_columns(const CaptureOptions& options, HeapTuple row, TupleDesc desc) {
    Datum* values = (Datum*)palloc(sizeof(Datum) * options.column_count);
    bool* nulls = (bool*)palloc(sizeof(bool) * options.column_count);
    for (int i = 0; i < options.column_count; i++)
        values[i] = heap_getattr(row, options.columns[i], desc, &nulls[i]);
    HeapTuple chosen = heap_form_tuple(options.columns_desc, values, nulls);
    return heap_copy_tuple_as_datum(chosen, options.columns_desc);
}

// json is text on disk and in memory.
Datum row_json(const PayloadMaker& maker, HeapTuple row) {
    const CaptureOptions& options = *maker.options;
    if (OidIsValid(options.serializer)) {
        if (options.to_serializer_desc)
            row = execute_attr_map_tuple(row, options.to_serializer_desc);
        TupleDesc desc = options.serializer_desc ? options.serializer_desc : maker.desc;
        return serialize(maker, heap_copy_tuple_as_datum(row, desc));
    }
    Datum composite = options.columns_desc ? chosen_columns(options, row, maker.desc)
                                           : heap_copy_tuple_as_datum(row, maker.desc);
    int level = pin_names(options.data_follows_session, options.calls_casts);
    Datum json = DirectFunctionCall1(row_to_json, composite);
    unpin(level);
    return json;
}

Datum new_and_old_json(Datum new_json, Datum old_json) {
    StringInfoData both;
    initStringInfo(&both);
    text* part = DatumGetTextPP(new_json);
    appendStringInfoString(&both, "{\"new\":");
    appendBinaryStringInfo(&both, VARDATA_ANY(part), VARSIZE_ANY_EXHDR(part));
    part = DatumGetTextPP(old_json);
    appendStringInfoString(&both, ",\"old\":");
    appendBinaryStringInfo(&both, VARDATA_ANY(part), VARSIZE_ANY_EXHDR(part));
    appendStringInfoChar(&both, '}');
    return PointerGetDatum(cstring_to_text_with_len(both.data, both.len));
}

// Among several values a comma within one is escaped, or two rows could have one key.
void append_key(StringInfo key, const char* value, bool is_one_of_several) {
    for (const char* byte = value; *byte; byte++) {
        if (is_one_of_several && (*byte == ',' || *byte == '\\'))
            appendStringInfoChar(key, '\\');
        appendStringInfoChar(key, *byte);
    }
}

text* object_id(const CaptureOptions& options, HeapTuple row, TupleDesc desc) {
    if (options.key_count == 0)
        return nullptr;
    StringInfoData key;
    initStringInfo(&key);
    int level = pin_names(options.key_follows_session, false);
    for (int i = 0; i < options.key_count; i++) {
        bool is_null;
        Datum value = heap_getattr(row, options.keys[i], desc, &is_null);
        if (i > 0)
            appendStringInfoChar(&key, ',');
        if (!is_null)
            append_key(&key, OutputFunctionCall(&options.key_outputs[i], value),
                       options.key_count > 1);
    }
    unpin(level);
    return cstring_to_text_with_len(key.data, key.len);
}

bool is_same(AttrNumber column, HeapTuple row, HeapTuple other, TupleDesc desc) {
    bool is_null, other_is_null;
    Datum value = heap_getattr(row, column, desc, &is_null);
    Datum other_value = heap_getattr(other, column, desc, &other_is_null);
    Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
    return is_null == other_is_null &&
           (is_null || datum_image_eq(value, other_value, attribute->attbyval, attribute->attlen));
}

bool any_changed(const CaptureOptions& options, HeapTuple new_row, HeapTuple old_row,
                 TupleDesc desc) {
    for (int i = 0; i < options.changed_count; i++)
        if (!is_same(options.changed[i], new_row, old_row, desc))
            return true;
    return options.changed_count == 0;
}

HeapTuple converted_row(const PayloadMaker& maker, HeapTuple row) {
    TupleConversionMap* map = maker.options->to_desc;
    return map ? execute_attr_map_tuple(row, map) : row;
}

// The row with all its values, as one of the table that the options are about.
HeapTuple whole_row(const PayloadMaker& maker, HeapTuple row) {
    if (has_virtual_columns(maker.relation)) {
        StatementState* state = statement_state(maker.function);
        if (state->virtual_columns == nullptr)
            state->virtual_columns = prepare_virtual_columns(maker.relation, state->context);
        row = compute_virtual_columns(state->virtual_columns, row);
    }
    return converted_row(maker, row);
}

}  // namespace

PayloadMaker payload_maker(const CaptureOptions* options, Relation relation, FmgrInfo* function) {
    return {options, relation, function,
            options->desc ? options->desc : RelationGetDescr(relation)};
}

// Looking first costs nothing; five unconditional settings cost 2.7 microseconds a row.
int pin_settings() {
    int level = NewGUCNestLevel();
    // In the order of value_settings.
    const bool differs[] = {!is_utc(pg_get_timezone_name(session_timezone)),
                            DateStyle != USE_ISO_DATES, IntervalStyle != INTSTYLE_POSTGRES,
                            bytea_output != BYTEA_OUTPUT_HEX, extra_float_digits < 1};
    static_assert(lengthof(differs) == lengthof(value_settings), "one for each");
    for (size_t i = 0; i < lengthof(differs); i++)
        if (differs[i])
            pin(value_settings[i]);
    return level;
}

bool has_same_key(const PayloadMaker& maker, HeapTuple row, HeapTuple other,
                  const AttrNumber* columns, int count) {
    row = whole_row(maker, row);
    other = whole_row(maker, other);
    for (int i = 0; i < count; i++)
        if (!is_same(columns[i], row, other, maker.desc))
            return false;
    return true;
}

uint32 key_hash(const PayloadMaker& maker, HeapTuple row, const AttrNumber* columns, int count) {
    row = whole_row(maker, row);
    uint32 hash = 0;
    for (int i = 0; i < count; i++) {
        bool is_null;
        Datum value = heap_getattr(row, columns[i], maker.desc, &is_null);
        Form_pg_attribute attribute = TupleDescAttr(maker.desc, columns[i] - 1);
        hash = hash_combine(
            hash, is_null ? 0 : datum_image_hash(value, attribute->attbyval, attribute->attlen));
    }
    return hash;
}

void forget_statement(const PayloadMaker& maker) {
    StatementState* state = statement_state(maker.function);
    MemoryContext context = state->context;
    MemoryContextReset(context);
    *state = {};
    state->context = context;
}

text* key_of_stored_row(const PayloadMaker& maker, HeapTuple row) {
    const CaptureOptions& options = *maker.options;
    for (int i = 0; i < options.key_count; i++)
        if (pg_is_virtual(maker.desc, options.keys[i] - 1))
            return nullptr;
    return object_id(options, converted_row(maker, row), maker.desc);
}

bool make_whole_event(const PayloadMaker& maker, HeapTuple row, HeapTuple old_row, bool is_update,
                      NewEvent* event) {
    const CaptureOptions& options = *maker.options;
    bool needs_old = old_row && (options.include_old || options.changed_count > 0);
    row = whole_row(maker, row);
    old_row = needs_old ? whole_row(maker, old_row) : nullptr;
    if (old_row && !any_changed(options, row, old_row, maker.desc))
        return false;
    event->data = options.problem ? data_with_problem(options.problem) : row_json(maker, row);
    if (is_update && options.include_old && options.problem == nullptr)
        event->data = new_and_old_json(
            event->data, old_row ? row_json(maker, old_row) : CStringGetTextDatum("null"));
    if (options.may_be_no_json && !is_json(event->data))
        event->data = data_with_problem("the data of the row is not valid JSON");
    event->object_id = object_id(options, row, maker.desc);
    event->id = make_event_id();
    return true;
}

}  // namespace whisperer::pg
