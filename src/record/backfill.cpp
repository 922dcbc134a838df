// Rows of a table as its capture trigger would have made events of them: the C behind
// whisperer.backfill, called with a batch of rows at a time and the caller's own rights.
#include "src/base/transaction.h"
#include "src/record/payload.h"

namespace whisperer::pg {

namespace {

bool records(const Trigger& trigger, const char* event_type) {
    return trigger.tgnargs > 0 && strcmp(trigger.tgargs[0], event_type) == 0 &&
           is_capture_function(trigger.tgfoid);
}

// The trigger that records this event type, one that fires at an INSERT before others; null: none.
const Trigger* trigger_for(Relation relation, const char* event_type) {
    const Trigger* found = nullptr;
    TriggerDesc* triggers = copied_triggers(relation);
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (records(trigger, event_type) &&
            (found == nullptr ||
             (!TRIGGER_FOR_INSERT(found->tgtype) && TRIGGER_FOR_INSERT(trigger.tgtype))))
            found = &trigger;
    }
    return found;
}

// Anybody may call it, with an array of anything.
void require_rows_of(Relation relation, ArrayType* batch) {
    if (ARR_ELEMTYPE(batch) != RelationGetForm(relation)->reltype || array_contains_nulls(batch))
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("the rows are not of table \"%s\"", RelationGetRelationName(relation)));
}

HeapTuple tuple_of(Datum row) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(row);
    HeapTuple tuple = (HeapTuple)palloc0(sizeof(HeapTupleData));
    tuple->t_len = HeapTupleHeaderGetDatumLength(header);
    tuple->t_data = header;
    return tuple;
}

struct Columns {
    Datum* data;
    Datum* keys;
    bool* key_nulls;
};

void make_rows(const PayloadMaker& maker, const Datum* rows, int count, Columns* columns) {
    int level = pin_settings();
    for (int i = 0; i < count; i++) {
        NewEvent event = {};
        (void)make_event(maker, tuple_of(rows[i]), nullptr, false, &event);
        columns->data[i] = event.data;
        columns->keys[i] = PointerGetDatum(event.object_id);
        columns->key_nulls[i] = event.object_id == nullptr;
    }
    AtEOXact_GUC(true, level);
}

Columns make_columns(int count) {
    Columns columns = {};
    columns.data = (Datum*)palloc(sizeof(Datum) * Max(count, 1));
    columns.keys = (Datum*)palloc(sizeof(Datum) * Max(count, 1));
    columns.key_nulls = (bool*)palloc0(Max(count, 1));
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
    PayloadMaker maker = payload_maker(options, relation, fcinfo->flinfo);
    Datum* rows;
    bool* nulls;
    int count;
    ArrayType* batch = PG_GETARG_ARRAYTYPE_P(2);
    require_rows_of(relation, batch);
    deconstruct_array(batch, ARR_ELEMTYPE(batch), -1, false, TYPALIGN_DOUBLE, &rows, &nulls,
                      &count);
    Columns columns = make_columns(count);
    make_rows(maker, rows, count, &columns);

    TupleDesc result;
    if (get_call_result_type(fcinfo, nullptr, &result) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    Datum values[] = {make_array(columns.data, nullptr, count, JSONOID),
                      make_array(columns.keys, columns.key_nulls, count, TEXTOID)};
    bool is_null[lengthof(values)] = {};
    table_close(relation, AccessShareLock);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(result), values, is_null));
}
}
