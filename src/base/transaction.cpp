// Transactions and statements of the worker; see transaction.h.
#include "src/base/transaction.h"

#include "src/base/ring.h"

namespace whisperer::pg {

namespace {

// PostgreSQL leaves TopMemoryContext current after a commit; what is allocated there stays.
MemoryContext caller_context = nullptr;

// What a page needs beside the log: the hooks, who may have what, and what people asked for.
constexpr const char* page_tables[] = {
    "request",   "control",    "hook_definition",      "secret",  "hook_run",
    "hook_node", "event_type", "event_type_privilege", "bookmark"};

// Those, the log's, the ledger's and the keys', in the order in which they are locked.
constexpr int ring_tables = 1 + slot_count;
constexpr int log_tables = lengthof(page_tables) + ring_tables;
constexpr int ledger_tables = log_tables + ring_tables;
constexpr int all_tables = ledger_tables + ring_tables;

// Looked up once: names cost a page of one event more than its locks do.
Oid tables[all_tables];
uint64 found_at = 0;  // what changes was; 0: not all were there
uint64 changes = 1;   // counts what has happened to any of them

void on_relation_change(Datum, Oid relation) {
    for (Oid table : tables)
        if (relation == InvalidOid || relation == table) {
            changes++;
            return;
        }
}

Oid* find_ring(Oid schema, const char* parent, Oid* next) {
    *next++ = get_relname_relid(parent, schema);
    for (int slot = 0; slot < slot_count; slot++)
        *next++ = get_relname_relid(psprintf("%s_%d", parent, slot), schema);
    return next;
}

void find_tables() {
    static bool watching = false;
    if (!watching)
        CacheRegisterRelcacheCallback(on_relation_change, 0);
    watching = true;
    uint64 before = changes;
    Oid schema = get_namespace_oid("whisperer", true);
    Oid* next = tables;
    for (const char* table : page_tables)
        *next++ = get_relname_relid(table, schema);
    next = find_ring(schema, "outbox", next);
    next = find_ring(schema, "delivery", next);
    find_ring(schema, "key_decision", next);
    found_at = before;
    for (Oid table : tables)
        if (!OidIsValid(table))
            found_at = 0;
}

int count_of(Tables which) {
    switch (which) {
        case Tables::Log:
            return log_tables;
        case Tables::LogAndLedger:
            return ledger_tables;
        case Tables::LogLedgerAndKeys:
            return all_tables;
    }
    pg_unreachable();
}

// Needs no snapshot of ours.  If by the time that all are locked they are others, so are those.
void lock_tables(Tables which) {
    if (found_at != changes)
        find_tables();
    Oid locked[all_tables];
    do {
        memcpy(locked, tables, sizeof locked);
        for (int i = 0; i < count_of(which); i++)
            if (OidIsValid(locked[i]))
                LockRelationOid(locked[i], AccessShareLock);
        if (found_at != changes)
            find_tables();
    } while (memcmp(locked, tables, sizeof locked) != 0);
}

// The row whose columns were asked for last.  One column costs nearly as much as all before it, so
// all are taken out at once.  A statement's rows may be where those of an earlier one were.
struct LastRow {
    const SPITupleTable* rows;
    uint64 row;
    Datum values[MaxTupleAttributeNumber];
    bool nulls[MaxTupleAttributeNumber];
};
LastRow last_row;

// Passes the statement's result on.
int after_statement(MemoryContext caller, int result) {
    MemoryContextSwitchTo(caller);
    last_row.rows = nullptr;
    return result;
}

void open_transaction(const char* activity) {
    caller_context = CurrentMemoryContext;
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    pgstat_report_activity(STATE_RUNNING, activity);
}

}  // namespace

void begin_transaction(const char* activity) {
    open_transaction(activity);
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
}

void begin_reading(const char* activity, Tables tables) {
    open_transaction(activity);
    lock_tables(tables);
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
}

void commit_transaction() {
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
    MemoryContextSwitchTo(caller_context);
    pgstat_report_activity(STATE_IDLE, nullptr);
    pgstat_report_stat(false);
}

int run_query(const char* query, int count, const Oid* types, const Datum* values,
              const char* nulls, bool read_only, long limit) {
    MemoryContext caller = CurrentMemoryContext;
    int result = SPI_execute_with_args(query, count, const_cast<Oid*>(types),
                                       const_cast<Datum*>(values), nulls, read_only, limit);
    return after_statement(caller, result);
}

int run_query(const char* query, bool read_only, long limit) {
    MemoryContext caller = CurrentMemoryContext;
    int result = SPI_execute(query, read_only, limit);
    return after_statement(caller, result);
}

void run_plan(SPIPlanPtr plan, const Datum* values, const char* nulls, bool read_only, long limit,
              int expected) {
    MemoryContext caller = CurrentMemoryContext;
    int result = after_statement(
        caller, SPI_execute_plan(plan, const_cast<Datum*>(values), nulls, read_only, limit));
    if (result != expected)
        elog(ERROR, "unexpected result of a statement: %s", SPI_result_code_string(result));
}

SPIPlanPtr kept_plan(SPIPlanPtr* plan, const char* query, int count, const Oid* types) {
    if (*plan == nullptr) {
        MemoryContext caller = CurrentMemoryContext;
        SPIPlanPtr made = SPI_prepare(query, count, const_cast<Oid*>(types));
        MemoryContextSwitchTo(caller);
        if (made == nullptr || SPI_keepplan(made) != 0)
            elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
        *plan = made;
    }
    return *plan;
}

Datum rows_column(const SPITupleTable* rows, uint64 row, int number) {
    if (last_row.rows != rows || last_row.row != row) {
        heap_deform_tuple(rows->vals[row], rows->tupdesc, last_row.values, last_row.nulls);
        last_row.rows = rows;
        last_row.row = row;
    }
    return last_row.nulls[number - 1] ? (Datum)0 : last_row.values[number - 1];
}

Datum datum_column(int row, int number) {
    return rows_column(SPI_tuptable, (uint64)row, number);
}

char* text_column(int row, int number) {
    Datum value = datum_column(row, number);
    return value ? TextDatumGetCString(value) : nullptr;
}

bool bool_column(int row, int number) {
    return DatumGetBool(datum_column(row, number));
}

int32 int32_column(int row, int number) {
    return DatumGetInt32(datum_column(row, number));
}

int64 int64_column(int row, int number) {
    return DatumGetInt64(datum_column(row, number));
}

uint64 xid_column(int row, int number) {
    return DatumGetUInt64(datum_column(row, number));
}

TimestampTz timestamp_column(int row, int number) {
    return DatumGetTimestampTz(datum_column(row, number));
}

pg_uuid_t uuid_column(int row, int number) {
    Datum value = datum_column(row, number);
    return value ? *DatumGetUUIDP(value) : pg_uuid_t{};
}

Datum make_array(const Datum* values, const bool* nulls, int count, Oid type) {
    int16 length;
    bool by_value;
    char align;
    get_typlenbyvalalign(type, &length, &by_value, &align);
    int dimensions[] = {count};
    int lower_bounds[] = {1};
    return PointerGetDatum(construct_md_array(const_cast<Datum*>(values), const_cast<bool*>(nulls),
                                              1, dimensions, lower_bounds, type, length, by_value,
                                              align));
}

}  // namespace whisperer::pg
