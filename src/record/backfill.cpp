// Rows of a table as its capture trigger would have made events of them: the C behind
// whisperer.backfill, called with a batch of rows at a time and the caller's own rights.
#include "src/base/transaction.h"
#include "src/record/payload.h"

namespace whisperer::pg {

namespace {

bool records(Relation relation, const Trigger& trigger, const char* event_type) {
    return trigger.tgnargs > 0 && strcmp(trigger.tgargs[0], event_type) == 0 &&
           is_capture_function(trigger.tgfoid) && !capture_options(relation, &trigger)->is_orphan;
}

// In sessions of applications, not of replication.
bool fires(const Trigger& trigger) {
    return trigger.tgenabled != TRIGGER_DISABLED && trigger.tgenabled != TRIGGER_FIRES_ON_REPLICA;
}

// Whether it is nearer than the other to what records a new row.
bool is_better(const Trigger& trigger, const Trigger& other) {
    if (fires(trigger) != fires(other))
        return fires(trigger);
    return TRIGGER_FOR_INSERT(trigger.tgtype) && !TRIGGER_FOR_INSERT(other.tgtype);
}

// The trigger that records this event type, one that fires, and at an INSERT, before others; null:
// none.
const Trigger* trigger_for(Relation relation, const char* event_type) {
    const Trigger* found = nullptr;
    TriggerDesc* triggers = copied_triggers(relation);
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (records(relation, trigger, event_type) &&
            (found == nullptr || is_better(trigger, *found)))
            found = &trigger;
    }
    return found;
}

void require_firing(Relation relation, const Trigger& trigger) {
    if (fires(trigger))
        return;
    const char* table = RelationGetRelationName(relation);
    ereport(
        ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
        errmsg("trigger \"%s\" on table \"%s\" is disabled", trigger.tgname, table),
        errhint(
            "ALTER TABLE %s ENABLE TRIGGER %s, or drop it: without a trigger, whole rows are sent.",
            quote_identifier(table), quote_identifier(trigger.tgname)));
}

// A trigger's WHEN condition, evaluated for rows as they are.
struct Condition {
    ExprState* state;  // null: there is none
    EState* executor;
    ExprContext* evaluation;
    TupleTableSlot* slot;
};

Condition prepare_condition(Relation relation, const Trigger& trigger) {
    Condition condition = {};
    if (trigger.tgqual == nullptr)
        return condition;
    Node* expression = (Node*)stringToNode(trigger.tgqual);
    if (bms_is_member(PRS2_OLD_VARNO, pull_varnos(nullptr, expression)))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("the WHEN condition of trigger \"%s\" on table \"%s\" is about a change",
                       trigger.tgname, RelationGetRelationName(relation)),
                errdetail("Of rows as they are, nobody knows what they were before."),
                errhint("Backfill a hook for an event type of its own, without a trigger."));
    expression = pg_expand_virtual_columns(expression, relation, PRS2_NEW_VARNO);
    ChangeVarNodes(expression, PRS2_NEW_VARNO, OUTER_VAR, 0);
    condition.executor = CreateExecutorState();
    MemoryContext caller = MemoryContextSwitchTo(condition.executor->es_query_cxt);
    condition.state = ExecPrepareQual(make_ands_implicit((Expr*)expression), condition.executor);
    condition.evaluation = GetPerTupleExprContext(condition.executor);
    condition.slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(relation)),
                                              &TTSOpsHeapTuple);
    MemoryContextSwitchTo(caller);
    return condition;
}

bool is_met(const Condition& condition, HeapTuple row) {
    if (condition.state == nullptr)
        return true;
    condition.slot->tts_tableOid = row->t_tableOid;
    ExecStoreHeapTuple(row, condition.slot, false);
    condition.evaluation->ecxt_outertuple = condition.slot;
    bool is_met = ExecQual(condition.state, condition.evaluation);
    ExecClearTuple(condition.slot);
    ResetPerTupleExprContext(condition.executor);
    return is_met;
}

void end_condition(const Condition& condition) {
    if (condition.executor)
        FreeExecutorState(condition.executor);
}

// Anybody may call it, with an array of anything.
void require_rows_of(Relation relation, ArrayType* batch) {
    if (ARR_ELEMTYPE(batch) != RelationGetForm(relation)->reltype || array_contains_nulls(batch))
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("the rows are not of table \"%s\"", RelationGetRelationName(relation)));
}

HeapTuple tuple_of(Datum row, Oid table) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(row);
    HeapTuple tuple = (HeapTuple)palloc0(sizeof(HeapTupleData));
    tuple->t_len = HeapTupleHeaderGetDatumLength(header);
    tuple->t_data = header;
    tuple->t_tableOid = table;
    return tuple;
}

struct Columns {
    Datum* data;
    Datum* keys;
    bool* key_nulls;
    int count;
};

void make_row(const PayloadMaker& maker, HeapTuple row, Columns* columns) {
    NewEvent event = {};
    int level = pin_settings();
    (void)make_event(maker, row, nullptr, false, &event);
    AtEOXact_GUC(true, level);
    columns->data[columns->count] = event.data;
    columns->keys[columns->count] = PointerGetDatum(event.object_id);
    columns->key_nulls[columns->count] = event.object_id == nullptr;
    columns->count++;
}

// The condition is evaluated as the trigger's is: with the session's own settings.
Columns make_rows(const PayloadMaker& maker, const Condition& condition, const Datum* rows,
                  int count) {
    Columns columns = {};
    columns.data = (Datum*)palloc(sizeof(Datum) * Max(count, 1));
    columns.keys = (Datum*)palloc(sizeof(Datum) * Max(count, 1));
    columns.key_nulls = (bool*)palloc0(Max(count, 1));
    for (int i = 0; i < count; i++) {
        HeapTuple row = tuple_of(rows[i], RelationGetRelid(maker.relation));
        if (is_met(condition, row))
            make_row(maker, row, &columns);
    }
    return columns;
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_rows_as_events);

// (relation regclass, event_type text, batch anyarray) -> (json[], text[])
PGDLLEXPORT Datum whisperer_rows_as_events(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    Relation relation = table_open(PG_GETARG_OID(0), AccessShareLock);
    const Trigger* trigger = trigger_for(relation, text_to_cstring(PG_GETARG_TEXT_PP(1)));
    const CaptureOptions* options =
        trigger ? capture_options(relation, trigger) : plain_options(relation);
    require_whole(*options);
    Condition condition = {};
    if (trigger) {
        require_firing(relation, *trigger);
        condition = prepare_condition(relation, *trigger);
    }
    PayloadMaker maker = payload_maker(options, relation, fcinfo->flinfo);
    Datum* rows;
    bool* nulls;
    int count;
    ArrayType* batch = PG_GETARG_ARRAYTYPE_P(2);
    require_rows_of(relation, batch);
    deconstruct_array(batch, ARR_ELEMTYPE(batch), -1, false, TYPALIGN_DOUBLE, &rows, &nulls,
                      &count);
    Columns columns = make_rows(maker, condition, rows, count);
    end_condition(condition);

    TupleDesc result;
    if (get_call_result_type(fcinfo, nullptr, &result) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    Datum values[] = {make_array(columns.data, nullptr, columns.count, JSONOID),
                      make_array(columns.keys, columns.key_nulls, columns.count, TEXTOID)};
    bool is_null[lengthof(values)] = {};
    table_close(relation, AccessShareLock);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(result), values, is_null));
}
}
