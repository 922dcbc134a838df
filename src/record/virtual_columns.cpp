// See virtual_columns.h.
#include "src/record/virtual_columns.h"

namespace whisperer::pg {

struct VirtualColumns {
    TupleDesc desc;
    ExprContext* evaluation;
    TupleTableSlot* slot;
    ExprState** values;  // by column; null where it is an ordinary one
    Datum* computed;
    bool* nulls;
    bool* replaced;
};

VirtualColumns* prepare_virtual_columns(Relation relation, MemoryContext context) {
    MemoryContext caller = MemoryContextSwitchTo(context);
    VirtualColumns* columns = (VirtualColumns*)palloc0(sizeof(VirtualColumns));
    // A descriptor that is counted would have to be let go when the statement ends.
    columns->desc = CreateTupleDescCopyConstr(RelationGetDescr(relation));
    columns->evaluation = CreateStandaloneExprContext();
    columns->slot = MakeSingleTupleTableSlot(columns->desc, &TTSOpsHeapTuple);
    columns->slot->tts_tableOid = RelationGetRelid(relation);
    int count = columns->desc->natts;
    columns->values = (ExprState**)palloc0(sizeof(ExprState*) * count);
    columns->computed = (Datum*)palloc0(sizeof(Datum) * count);
    columns->nulls = (bool*)palloc0(sizeof(bool) * count);
    columns->replaced = (bool*)palloc0(sizeof(bool) * count);
    for (int i = 0; i < count; i++) {
        Expr* expression = pg_virtual_column(relation, i);
        if (expression == nullptr)
            continue;
        columns->values[i] = ExecInitExpr(expression_planner(expression), nullptr);
        columns->replaced[i] = true;
    }
    MemoryContextSwitchTo(caller);
    return columns;
}

HeapTuple compute_virtual_columns(VirtualColumns* columns, HeapTuple row) {
    ExecStoreHeapTuple(row, columns->slot, false);
    columns->evaluation->ecxt_scantuple = columns->slot;
    for (int i = 0; i < columns->desc->natts; i++)
        if (columns->values[i])
            columns->computed[i] = ExecEvalExprSwitchContext(
                columns->values[i], columns->evaluation, &columns->nulls[i]);
    HeapTuple whole =
        heap_modify_tuple(row, columns->desc, columns->computed, columns->nulls, columns->replaced);
    // The slot must not outlive the row, nor the values what they were copied from.
    ExecClearTuple(columns->slot);
    ResetExprContext(columns->evaluation);
    return whole;
}

}  // namespace whisperer::pg
