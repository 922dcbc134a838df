// The trigger function whisperer.capture: turns changed rows into events, in the writer's
// transaction.
//
// Every value is made as the writing user, with the session settings that shape text pinned, so
// that a payload depends on the row alone; record_events then only inserts finished values.
#include "src/base/event_id.h"
#include "src/base/session.h"
#include "src/record/capture_options.h"
#include "src/record/record.h"

namespace whisperer::pg {

namespace {

// One firing of a capture trigger.
struct Capture {
    TriggerData* trigger;
    const CaptureOptions* options;
    FmgrInfo* function;  // whisperer.capture, as the statement calls it
    TupleDesc desc;      // of the trigger's table
};

// Etc/UTC, which initdb finds on many machines, differs from UTC in nothing but its name.
bool is_utc(const char* timezone) {
    return strcmp(timezone, "UTC") == 0 || strcmp(timezone, "Etc/UTC") == 0;
}

// Sets, until the matching AtEOXact_GUC, what differs from the pinned values.  Looking first costs
// nothing; five unconditional settings cost 2.7 microseconds a row.
int pin_settings() {
    int level = NewGUCNestLevel();
    // In the order of value_settings.
    const bool differs[] = {!is_utc(pg_get_timezone_name(session_timezone)),
                            DateStyle != USE_ISO_DATES, IntervalStyle != INTSTYLE_POSTGRES,
                            bytea_output != BYTEA_OUTPUT_HEX, extra_float_digits < 1};
    static_assert(lengthof(differs) == lengthof(value_settings), "one for each");
    for (size_t i = 0; i < lengthof(differs); i++)
        if (differs[i])
            (void)set_config_option(value_settings[i].name, value_settings[i].value, PGC_USERSET,
                                    PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    return level;
}

void require_usable(TriggerData* trigger) {
    TriggerEvent event = trigger->tg_event;
    if (TRIGGER_FIRED_BY_TRUNCATE(event))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("trigger \"%s\": whisperer.capture does not support TRUNCATE",
                       trigger->tg_trigger->tgname),
                errhint("A TRUNCATE has no rows to tell of; call whisperer.deliver_event "
                        "instead."));
    if (!TRIGGER_FIRED_AFTER(event))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("trigger \"%s\": whisperer.capture must fire AFTER the change",
                       trigger->tg_trigger->tgname),
                errhint("Create the trigger as AFTER INSERT, UPDATE or DELETE."));
}

void require_privilege(TriggerData* trigger, const CaptureOptions& options) {
    bool registered;
    if (may_publish(options.table_owner, options.event_type, &registered))
        return;
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied to publish event type \"%s\"", options.event_type),
            errdetail("Trigger \"%s\" publishes with the rights of \"%s\", the owner of table "
                      "\"%s\".",
                      trigger->tg_trigger->tgname, GetUserNameFromId(options.table_owner, true),
                      RelationGetRelationName(trigger->tg_relation)),
            errhint("The event type's owner can call whisperer.allow('%s', '%s', 'publish').",
                    options.event_type,
                    quote_identifier(GetUserNameFromId(options.table_owner, false))));
}

Datum chosen_columns(const CaptureOptions& options, HeapTuple row, TupleDesc desc) {
    Datum* values = (Datum*)palloc(sizeof(Datum) * options.column_count);
    bool* nulls = (bool*)palloc(sizeof(bool) * options.column_count);
    for (int i = 0; i < options.column_count; i++)
        values[i] = heap_getattr(row, options.columns[i], desc, &nulls[i]);
    HeapTuple chosen = heap_form_tuple(options.columns_desc, values, nulls);
    return heap_copy_tuple_as_datum(chosen, options.columns_desc);
}

// The serializer, looked up once per statement and kept where PostgreSQL keeps the trigger
// function's own state (fn_extra).  What it keeps in turn, a plan for instance, then serves every
// row of the statement and goes with it, also after an error in the middle of a call.
FmgrInfo* serializer_of(const CaptureOptions& options, FmgrInfo* trigger_function) {
    FmgrInfo* serializer = (FmgrInfo*)trigger_function->fn_extra;
    if (serializer == nullptr || serializer->fn_oid != options.serializer) {
        serializer = (FmgrInfo*)MemoryContextAlloc(trigger_function->fn_mcxt, sizeof(FmgrInfo));
        fmgr_info_cxt(options.serializer, serializer, trigger_function->fn_mcxt);
        trigger_function->fn_extra = serializer;
    }
    return serializer;
}

Datum serialize(const CaptureOptions& options, FmgrInfo* trigger_function, Datum row) {
    AclResult allowed = pg_function_execute_check(options.serializer, GetUserId());
    if (allowed != ACLCHECK_OK)
        aclcheck_error(allowed, OBJECT_FUNCTION, get_func_name(options.serializer));
    LOCAL_FCINFO(call, 1);
    InitFunctionCallInfoData(*call, serializer_of(options, trigger_function), 1, InvalidOid,
                             nullptr, nullptr);
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

// json is text on disk and in memory.
Datum row_json(const Capture& capture, HeapTuple row) {
    const CaptureOptions& options = *capture.options;
    if (options.columns_desc)
        return DirectFunctionCall1(row_to_json, chosen_columns(options, row, capture.desc));
    Datum composite = heap_copy_tuple_as_datum(row, capture.desc);
    if (OidIsValid(options.serializer))
        return serialize(options, capture.function, composite);
    return DirectFunctionCall1(row_to_json, composite);
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

text* object_id(const CaptureOptions& options, HeapTuple row, TupleDesc desc) {
    if (options.key_count == 0)
        return nullptr;
    StringInfoData key;
    initStringInfo(&key);
    for (int i = 0; i < options.key_count; i++) {
        bool is_null;
        Datum value = heap_getattr(row, options.keys[i], desc, &is_null);
        if (i > 0)
            appendStringInfoChar(&key, ',');
        if (!is_null)
            appendStringInfoString(&key, OutputFunctionCall(&options.key_outputs[i], value));
    }
    return cstring_to_text_with_len(key.data, key.len);
}

bool any_changed(const CaptureOptions& options, HeapTuple new_row, HeapTuple old_row,
                 TupleDesc desc) {
    for (int i = 0; i < options.changed_count; i++) {
        AttrNumber column = options.changed[i];
        bool new_is_null, old_is_null;
        Datum new_value = heap_getattr(new_row, column, desc, &new_is_null);
        Datum old_value = heap_getattr(old_row, column, desc, &old_is_null);
        Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
        if (new_is_null != old_is_null ||
            (!new_is_null &&
             !datum_image_eq(new_value, old_value, attribute->attbyval, attribute->attlen)))
            return true;
    }
    return options.changed_count == 0;
}

// old_row: the row before an UPDATE, null otherwise.  False: no event for this row.
bool make_event(const Capture& capture, HeapTuple row, HeapTuple old_row, NewEvent* event) {
    const CaptureOptions& options = *capture.options;
    if (old_row && !any_changed(options, row, old_row, capture.desc))
        return false;
    event->data = row_json(capture, row);
    if (old_row && options.include_old)
        event->data = new_and_old_json(event->data, row_json(capture, old_row));
    event->object_id = object_id(options, row, capture.desc);
    event->id = make_event_id();
    return true;
}

void capture_row(const Capture& capture) {
    TriggerData* trigger = capture.trigger;
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    NewEvent event = {};
    int level = pin_settings();
    bool wanted = make_event(capture, is_update ? trigger->tg_newtuple : trigger->tg_trigtuple,
                             is_update ? trigger->tg_trigtuple : nullptr, &event);
    AtEOXact_GUC(true, level);
    if (wanted)
        record_events(capture.options->event_type, capture.options->source, nullptr, &event, 1);
}

// One of the statement's transition tables, read from its start by a pointer of our own: other
// triggers of the statement read it too.
struct TransitionTable {
    Tuplestorestate* store;
    int pointer;
    TupleTableSlot* slot;
};

TransitionTable open_transition_table(Tuplestorestate* store, TupleDesc desc) {
    TransitionTable table = {};
    if (store == nullptr)
        return table;
    table.store = store;
    table.pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
    tuplestore_select_read_pointer(store, table.pointer);
    tuplestore_rescan(store);
    table.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
    return table;
}

// The next row, copied into the current memory context; null at the end or where there is no table.
HeapTuple next_row(TransitionTable& table) {
    if (table.store == nullptr)
        return nullptr;
    // Where the table does not fit into work_mem, each row is read from a file into the current
    // context, and the slot frees it when it gets the next one: so that must be the slot's own.
    MemoryContext caller = MemoryContextSwitchTo(table.slot->tts_mcxt);
    tuplestore_select_read_pointer(table.store, table.pointer);
    bool found = tuplestore_gettupleslot(table.store, true, false, table.slot);
    MemoryContextSwitchTo(caller);
    return found ? ExecCopySlotHeapTuple(table.slot) : nullptr;
}

// What the statement's transition tables must be, with what to write where they are missing.
void require_transition_tables(TriggerData* trigger, const CaptureOptions& options) {
    bool is_delete = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    bool needs_old = is_delete || (is_update && (options.include_old || options.changed_count > 0));
    if ((is_delete || trigger->tg_newtable) && (!needs_old || trigger->tg_oldtable))
        return;
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("trigger \"%s\" on table \"%s\" lacks a transition table",
                   trigger->tg_trigger->tgname, RelationGetRelationName(trigger->tg_relation)),
            errhint("Add REFERENCING %s to the FOR EACH STATEMENT trigger, or make it FOR EACH "
                    "ROW.",
                    is_delete   ? "OLD TABLE AS old_rows"
                    : needs_old ? "OLD TABLE AS old_rows NEW TABLE AS new_rows"
                                : "NEW TABLE AS new_rows"));
}

// Rows are turned into events and inserted in runs, each in memory that is emptied after it, so
// that a statement of a million rows needs no more than one of a hundred, and one of wide rows
// little more than its widest row.  What rows of an ordinary size need is never given back to the
// system within the statement.
constexpr int run_rows_max = 100;
constexpr Size run_bytes = 256 * 1024;
// Of everything that the rows of a run need, their JSON above all.
constexpr Size run_bytes_max = 1024 * 1024;

struct Run {
    MemoryContext context;
    NewEvent* events;
    int count;
};

// False after the last row.
bool fill_run(const Capture& capture, TransitionTable& rows, TransitionTable& old_rows, Run* run) {
    bool more = true;
    run->count = 0;
    int level = pin_settings();
    while (run->count < run_rows_max &&
           MemoryContextMemAllocated(run->context, true) <= run_bytes_max) {
        HeapTuple row = next_row(rows);
        HeapTuple old_row = next_row(old_rows);
        more = row != nullptr;
        if (!more)
            break;
        if (make_event(capture, row, old_row, &run->events[run->count]))
            run->count++;
    }
    AtEOXact_GUC(true, level);
    return more;
}

void capture_statement(const Capture& capture) {
    TriggerData* trigger = capture.trigger;
    require_transition_tables(trigger, *capture.options);
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    bool is_delete = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
    TransitionTable rows = open_transition_table(
        is_delete ? trigger->tg_oldtable : trigger->tg_newtable, capture.desc);
    TransitionTable old_rows =
        open_transition_table(is_update ? trigger->tg_oldtable : nullptr, capture.desc);
    Run run = {};
    run.events = (NewEvent*)palloc(sizeof(NewEvent) * run_rows_max);
    run.context = AllocSetContextCreate(CurrentMemoryContext, "whisperer capture run", run_bytes,
                                        run_bytes, ALLOCSET_DEFAULT_MAXSIZE);
    MemoryContext caller = MemoryContextSwitchTo(run.context);
    bool more = true;
    while (more) {
        CHECK_FOR_INTERRUPTS();
        more = fill_run(capture, rows, old_rows, &run);
        if (run.count > 0)
            record_events(capture.options->event_type, capture.options->source, nullptr, run.events,
                          run.count);
        MemoryContextReset(run.context);
    }
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(run.context);
    ExecDropSingleTupleTableSlot(rows.slot);
    if (old_rows.slot)
        ExecDropSingleTupleTableSlot(old_rows.slot);
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_capture);

PGDLLEXPORT Datum whisperer_capture(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("whisperer.capture can only be called as a trigger"),
                errhint("To record an event by hand, call whisperer.deliver_event."));
    TriggerData* trigger = (TriggerData*)fcinfo->context;
    whisperer::pg::require_usable(trigger);
    whisperer::pg::Capture capture = {trigger, whisperer::pg::capture_options(trigger),
                                      fcinfo->flinfo, RelationGetDescr(trigger->tg_relation)};
    // An event about an event would be followed by the next without end.
    if (capture.options->is_in_ring)
        return PointerGetDatum(nullptr);
    whisperer::pg::require_privilege(trigger, *capture.options);
    if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
        whisperer::pg::capture_row(capture);
    else
        whisperer::pg::capture_statement(capture);
    return PointerGetDatum(nullptr);
}
}
