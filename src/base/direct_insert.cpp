// Rows without a plan; see direct_insert.h.
#include "src/base/direct_insert.h"

#include "src/base/owner_context.h"

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

// Those that are there for replicated rows alone, our own among them, do not count.
bool fires_triggers(const TriggerDesc* triggers) {
    bool is_replica = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (TRIGGER_FOR_INSERT(trigger.tgtype) && trigger.tgenabled != TRIGGER_DISABLED &&
            trigger.tgenabled != (is_replica ? TRIGGER_FIRES_ON_ORIGIN : TRIGGER_FIRES_ON_REPLICA))
            return true;
    }
    return false;
}

// Its triggers are copied only if some will fire: to copy them costs a row a fortieth of what it
// costs.  Nothing in between looks at the relation cache.
ResultRelInfo* make_result_relation(Relation relation) {
    ResultRelInfo* info = makeNode(ResultRelInfo);
    TriggerDesc* triggers = relation->trigdesc;
    if (!fires_triggers(triggers))
        relation->trigdesc = nullptr;
    InitResultRelInfo(info, relation, 0, nullptr, 0);
    relation->trigdesc = triggers;
    return info;
}

void check_constraints(const DirectInsert* insert, TupleTableSlot* row) {
    const TupleConstr* constraints = RelationGetDescr(insert->relation)->constr;
    if (constraints && constraints->num_check > 0)
        ExecConstraints(insert->info, row, insert->estate);
}

// What a trigger made of the row may be anything, so all that the table asks for is checked.
void check_changed_row(const DirectInsert* insert, TupleTableSlot* row) {
    if (RelationGetDescr(insert->relation)->constr)
        ExecConstraints(insert->info, row, insert->estate);
    if (insert->relation->rd_rel->relispartition)
        ExecPartitionCheck(insert->info, row, insert->estate, true);
}

void insert_firing_row(const DirectInsert* insert, TupleTableSlot* row,
                       TransitionCaptureState* transition) {
    ResultRelInfo* info = insert->info;
    if (info->ri_TrigDesc->trig_insert_before_row) {
        if (!ExecBRInsertTriggers(insert->estate, info, row))
            return;
        check_changed_row(insert, row);
    } else {
        check_constraints(insert, row);
    }
    table_tuple_insert(insert->relation, row, GetCurrentCommandId(true), 0, nullptr);
    pg_insert_index_tuples(info, row, insert->estate);
    ExecARInsertTriggers(insert->estate, info, row, NIL, transition);
    ResetPerTupleExprContext(insert->estate);
}

// As the executor does it for INSERT INTO the table.  The writer has no right to write here and
// must not gain one, nor lend the triggers what he may and they may not: they run as the table's
// owner, who let them be made, and with a search_path that the writer has no hand in.
void insert_firing(const DirectInsert* insert) {
    ResultRelInfo* info = insert->info;
    EState* estate = insert->estate;
    UserContext saved = enter_owner(insert->relation->rd_rel->relowner);
    int level = NewGUCNestLevel();
    (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
    // Where the triggers that are queued look for the table.
    estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, info);
    AfterTriggerBeginQuery();
    TransitionCaptureState* transition = MakeTransitionCaptureState(
        info->ri_TrigDesc, RelationGetRelid(insert->relation), CMD_INSERT);
    ExecBSInsertTriggers(estate, info);
    for (int i = 0; i < insert->count; i++)
        insert_firing_row(insert, insert->rows[i], transition);
    ExecASInsertTriggers(estate, info, transition);
    AfterTriggerEndQuery(estate);
    ExecResetTupleTable(estate->es_tupleTable, false);
    AtEOXact_GUC(true, level);
    leave_owner(saved);
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
    insert.info = make_result_relation(insert.relation);
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
    bool fires = insert->info->ri_TrigDesc != nullptr;
    for (int i = 0; i < insert->count; i++) {
        ExecStoreVirtualTuple(insert->rows[i]);
        if (!fires)
            check_constraints(insert, insert->rows[i]);
    }
    if (fires)
        insert_firing(insert);
    else if (insert->count == 1)
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
