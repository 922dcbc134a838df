// Rows without a plan; see direct_insert.h.
#include "src/base/direct_insert.h"

namespace whisperer::pg {

namespace {

void insert_one(const DirectInsert* insert) {
    table_tuple_insert(insert->relation, insert->rows[0], GetCurrentCommandId(true), 0, nullptr);
    pg_insert_index_tuples(insert->info, insert->rows[0], insert->estate);
}

void insert_many(const DirectInsert* insert) {
    table_multi_insert(insert->relation, insert->rows, insert->count, GetCurrentCommandId(true), 0,
                       nullptr);
    for (int i = 0; i < insert->count; i++) {
        pg_insert_index_tuples(insert->info, insert->rows[i], insert->estate);
        ResetPerTupleExprContext(insert->estate);
    }
}

}  // namespace

DirectInsert begin_direct_insert(Oid table, int columns, int rows_max) {
    PreventCommandIfReadOnly("INSERT");
    PreventCommandIfParallelMode("INSERT");
    DirectInsert insert = {};
    insert.relation = table_open(table, RowExclusiveLock);
    insert.desc = RelationGetDescr(insert.relation);
    if (insert.desc->natts < columns)
        elog(ERROR, "relation \"%s\" has %d columns, expected %d",
             RelationGetRelationName(insert.relation), insert.desc->natts, columns);
    // A descriptor that is counted costs many rows a third of what else they cost.
    if (rows_max > 1)
        insert.desc = CreateTupleDescCopy(insert.desc);
    insert.estate = CreateExecutorState();
    insert.info = makeNode(ResultRelInfo);
    InitResultRelInfo(insert.info, insert.relation, 0, nullptr, 0);
    ExecOpenIndices(insert.info, false);
    insert.rows = (TupleTableSlot**)palloc(sizeof(TupleTableSlot*) * rows_max);
    return insert;
}

TupleTableSlot* add_direct_row(DirectInsert* insert) {
    TupleTableSlot* row =
        MakeSingleTupleTableSlot(insert->desc, table_slot_callbacks(insert->relation));
    memset(row->tts_isnull, true, insert->desc->natts * sizeof(bool));
    insert->rows[insert->count++] = row;
    return row;
}

void end_direct_insert(DirectInsert* insert) {
    const TupleConstr* constraints = RelationGetDescr(insert->relation)->constr;
    for (int i = 0; i < insert->count; i++) {
        ExecStoreVirtualTuple(insert->rows[i]);
        if (constraints && constraints->num_check > 0)
            ExecConstraints(insert->info, insert->rows[i], insert->estate);
    }
    if (insert->count == 1)
        insert_one(insert);
    else if (insert->count > 1)
        insert_many(insert);
    for (int i = 0; i < insert->count; i++)
        ExecDropSingleTupleTableSlot(insert->rows[i]);
    pfree(insert->rows);
    pg_close_indices(insert->info);
    FreeExecutorState(insert->estate);
    table_close(insert->relation, NoLock);
}

}  // namespace whisperer::pg
