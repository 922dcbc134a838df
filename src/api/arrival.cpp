// What the triggers on tables that may be replicated need of C; see
// src/install/api/130-arrival.sql.
//
// A replicated TRUNCATE takes away the rows of both databases.  So this one's own are put aside
// before it, and back after it, in one transaction that nobody can look into: the table is locked.
#include "src/base/direct_insert.h"
#include "src/base/identity.h"
#include "src/base/ring.h"
#include "src/pg.h"
#include "src/record/wakeup.h"

namespace whisperer::pg {

namespace {

constexpr int rows_at_a_time = 100;

struct Kept {
    Oid table;
    Tuplestorestate* rows;
};

// Between the triggers before and after, of all tables of the statement.  The memory is the
// transaction's.
List* kept_tables = NIL;

void forget_kept(void*) {
    kept_tables = NIL;
}

// Replication applies in background workers, PostgreSQL's own and those of extensions.
bool is_arriving() {
    return SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA &&
           MyBackendType == B_BG_WORKER;
}

// By a subscription of ours, to the hooks of a primary; see src/install/api/620-messages.sql.
bool is_fed() {
    if (!is_arriving() || MySubscription == nullptr)
        return false;
    ListCell* publication;
    foreach (publication, MySubscription->publications)
        if (strcmp(strVal(lfirst(publication)), "whisperer_hooks") == 0)
            return true;
    return false;
}

// How a table's rows say whose they are.
struct OwnerColumns {
    AttrNumber incarnation;
    AttrNumber arrived;
};

// Rows that do not say whose they are are kept: which are this database's own nobody knows.
bool is_own(TupleTableSlot* row, const OwnerColumns& columns) {
    bool is_null;
    if (columns.arrived != InvalidAttrNumber)
        return !DatumGetBool(slot_getattr(row, columns.arrived, &is_null));
    if (columns.incarnation == InvalidAttrNumber)
        return true;
    Datum value = slot_getattr(row, columns.incarnation, &is_null);
    return !is_null && DatumGetInt64(value) == my_incarnation();
}

void put_aside(Relation table, Tuplestorestate* rows) {
    Oid id = RelationGetRelid(table);
    OwnerColumns columns = {get_attnum(id, "incarnation"), get_attnum(id, "arrived")};
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TableScanDesc scan = pg_begin_scan(table, snapshot);
    TupleTableSlot* row = table_slot_create(table, nullptr);
    while (table_scan_getnextslot(scan, ForwardScanDirection, row)) {
        CHECK_FOR_INTERRUPTS();
        if (!is_own(row, columns))
            continue;
        // What is stored out of line goes with the table.
        bool is_copy;
        HeapTuple tuple = ExecFetchSlotHeapTuple(row, false, &is_copy);
        HeapTuple whole = toast_flatten_tuple(tuple, RelationGetDescr(table));
        tuplestore_puttuple(rows, whole);
        heap_freetuple(whole);
        if (is_copy)
            heap_freetuple(tuple);
    }
    ExecDropSingleTupleTableSlot(row);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
}

// False after the last row.
bool put_some_back(Relation table, Tuplestorestate* rows) {
    TupleDesc desc = RelationGetDescr(table);
    TupleTableSlot* row = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
    DirectInsert insert = begin_direct_insert(RelationGetRelid(table), desc->natts, rows_at_a_time);
    bool more = true;
    while (insert.count < rows_at_a_time) {
        more = tuplestore_gettupleslot(rows, true, true, row);
        if (!more)
            break;
        HeapTuple tuple = ExecCopySlotHeapTuple(row);
        TupleTableSlot* next = add_direct_row(&insert);
        heap_deform_tuple(tuple, desc, next->tts_values, next->tts_isnull);
    }
    end_direct_insert(&insert);
    ExecDropSingleTupleTableSlot(row);
    return more;
}

void put_back(Relation table, Tuplestorestate* rows) {
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "whisperer kept rows", ALLOCSET_DEFAULT_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(context);
    while (put_some_back(table, rows))
        MemoryContextReset(context);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(context);
}

void before_truncate(Relation table) {
    MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
    Kept* kept = (Kept*)palloc(sizeof(Kept));
    kept->table = RelationGetRelid(table);
    kept->rows = tuplestore_begin_heap(false, false, work_mem);
    if (kept_tables == NIL) {
        MemoryContextCallback* at_end =
            (MemoryContextCallback*)palloc0(sizeof(MemoryContextCallback));
        at_end->func = forget_kept;
        MemoryContextRegisterResetCallback(TopTransactionContext, at_end);
    }
    kept_tables = lappend(kept_tables, kept);
    MemoryContextSwitchTo(caller);
    put_aside(table, kept->rows);
}

void after_truncate(Relation table) {
    ListCell* cell;
    foreach (cell, kept_tables) {
        Kept* kept = (Kept*)lfirst(cell);
        if (kept->table != RelationGetRelid(table))
            continue;
        put_back(table, kept->rows);
        tuplestore_end(kept->rows);
        kept_tables = foreach_delete_current(kept_tables, cell);
        return;
    }
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_current_slot);
PG_FUNCTION_INFO_V1(whisperer_is_arriving);
PG_FUNCTION_INFO_V1(whisperer_is_fed);
PG_FUNCTION_INFO_V1(whisperer_on_arriving_truncate);

// The default of outbox.slot.  An event that is recorded here says its slot by itself; one that a
// subscription applies takes the default, and nothing else of ours runs that could wake the
// workers.
PGDLLEXPORT Datum whisperer_current_slot(PG_FUNCTION_ARGS) {
    if (whisperer::pg::is_arriving())
        whisperer::pg::wake_workers_at_commit();
    PG_RETURN_INT16(whisperer::pg::current_slot());
}

PGDLLEXPORT Datum whisperer_is_arriving(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(whisperer::pg::is_arriving());
}

PGDLLEXPORT Datum whisperer_is_fed(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(whisperer::pg::is_fed());
}

PGDLLEXPORT Datum whisperer_on_arriving_truncate(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("whisperer_internal.on_arriving_truncate can only be called as a trigger"));
    TriggerData* trigger = (TriggerData*)fcinfo->context;
    if (!whisperer::pg::is_arriving())
        return (Datum)0;
    if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
        whisperer::pg::before_truncate(trigger->tg_relation);
    else
        whisperer::pg::after_truncate(trigger->tg_relation);
    return (Datum)0;
}
}
