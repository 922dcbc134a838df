// Rows of the outbox go into heap and index as COPY puts them there, without a plan: its start and
// end cost a single row more than the row itself (docs/performance.md).
#include "outbox_writer.h"

namespace whisperer::pg {

namespace {

// As the install script creates the table; what an update adds comes behind, and is null here.
enum OutboxColumn {
    Id,
    EventType,
    Data,
    Source,
    ObjectId,
    ConfigFilter,
    HookId,
    Xid,
    Incarnation,
    CreatedAt,
    Slot,
    ColumnCount
};

struct Target {
    Relation relation;
    EState* estate;
    ResultRelInfo* info;
};

Target open_target(Oid partition) {
    PreventCommandIfReadOnly("INSERT");
    PreventCommandIfParallelMode("INSERT");
    Target target;
    target.relation = table_open(partition, RowExclusiveLock);
    if (RelationGetDescr(target.relation)->natts < ColumnCount)
        elog(ERROR, "relation \"%s\" is not a partition of whisperer.outbox",
             RelationGetRelationName(target.relation));
    target.estate = CreateExecutorState();
    target.info = makeNode(ResultRelInfo);
    InitResultRelInfo(target.info, target.relation, 0, nullptr, 0);
    ExecOpenIndices(target.info, false);
    return target;
}

// The locks stay until the transaction ends.
void close_target(const Target& target) {
    pg_close_indices(target.info);
    FreeExecutorState(target.estate);
    table_close(target.relation, NoLock);
}

void set(TupleTableSlot* row, OutboxColumn column, Datum value, bool is_null = false) {
    row->tts_values[column] = value;
    row->tts_isnull[column] = is_null;
}

// The id is the event's own memory, which outlives the row.
void fill(TupleTableSlot* row, const OutboxRows& rows, Datum event_type, const NewEvent& event) {
    ExecClearTuple(row);
    memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts * sizeof(bool));
    set(row, Id, UUIDPGetDatum(&event.id));
    set(row, EventType, event_type);
    set(row, Data, event.data);
    set(row, Source, PointerGetDatum(rows.source), rows.source == nullptr);
    set(row, ObjectId, PointerGetDatum(event.object_id), event.object_id == nullptr);
    set(row, ConfigFilter, PointerGetDatum(rows.config_filter), rows.config_filter == nullptr);
    set(row, Xid, FullTransactionIdGetDatum(GetTopFullTransactionId()));
    set(row, Incarnation, Int64GetDatum(rows.incarnation));
    set(row, CreatedAt, TimestampTzGetDatum(GetCurrentTimestamp()));
    set(row, Slot, Int16GetDatum(rows.slot));
    ExecStoreVirtualTuple(row);
}

// A descriptor that is counted costs many rows a third of what else they cost.
TupleDesc row_descriptor(const Target& target, int count) {
    TupleDesc desc = RelationGetDescr(target.relation);
    return count == 1 ? desc : CreateTupleDescCopy(desc);
}

void insert_one(const Target& target, TupleTableSlot* row) {
    table_tuple_insert(target.relation, row, GetCurrentCommandId(true), 0, nullptr);
    pg_insert_index_tuples(target.info, row, target.estate);
}

void insert_many(const Target& target, TupleTableSlot** rows, int count) {
    BulkInsertState bulk = GetBulkInsertState();
    table_multi_insert(target.relation, rows, count, GetCurrentCommandId(true), 0, bulk);
    FreeBulkInsertState(bulk);
    for (int i = 0; i < count; i++) {
        pg_insert_index_tuples(target.info, rows[i], target.estate);
        ResetPerTupleExprContext(target.estate);
    }
}

}  // namespace

void insert_events(Oid partition, const OutboxRows& rows, const NewEvent* events, int count) {
    Target target = open_target(partition);
    Datum event_type = CStringGetTextDatum(rows.event_type);
    TupleTableSlot** made = (TupleTableSlot**)palloc(sizeof(TupleTableSlot*) * count);
    TupleDesc desc = row_descriptor(target, count);
    for (int i = 0; i < count; i++) {
        made[i] = MakeSingleTupleTableSlot(desc, table_slot_callbacks(target.relation));
        fill(made[i], rows, event_type, events[i]);
    }
    if (count == 1)
        insert_one(target, made[0]);
    else
        insert_many(target, made, count);
    for (int i = 0; i < count; i++)
        ExecDropSingleTupleTableSlot(made[i]);
    pfree(made);
    close_target(target);
}

}  // namespace whisperer::pg
