// The process that tells the primary which lines have come to their end here, and ends.
//
// The primary may be this database.  Else it goes there as the subscription does, by PostgreSQL's
// own walreceiver and with the subscription's connection string: there the role that reads the
// node's slot may say what the node has done.  Told twice is told once.
#include "src/again/hand_over.h"
#include "src/base/session.h"
#include "src/base/transaction.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int timeout_ms = 30 * 1000;

struct EndedLine {
    int64 hook_id;
    bool is_fed;
    char* node;
};

struct Found {
    EndedLine* lines;
    int count;
    int fed;           // of them come from a primary
    char* connection;  // to it, as the subscription has it; null: there is none, or it is disabled
    bool needs_password;
};

void find_primary(Found* found) {
    const Oid types[] = {TEXTOID};
    Datum values[] = {CStringGetTextDatum(psprintf("whisperer_%s", settings.node))};
    if (run_query(
            "SELECT s.subconninfo, NOT r.rolsuper "
            "AND coalesce((to_jsonb(s)->>'subpasswordrequired')::boolean, false) "
            "FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_roles r ON r.oid = s.subowner "
            "WHERE s.subslotname = $1 AND s.subenabled AND s.subdbid = (SELECT oid FROM "
            "pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
            lengthof(types), types, values, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look at the subscriptions");
    if (SPI_processed == 0)
        return;
    found->connection = text_column(0, 1);
    found->needs_password = bool_column(0, 2);
}

// Null: all went well.  The transaction is for reading the answer, and holds no snapshot.
char* ask(WalReceiverConn* primary, const EndedLine& line) {
    char* query = psprintf("SELECT whisperer_internal.hand_line_over(" INT64_FORMAT ", %s)",
                           line.hook_id, quote_literal_cstr(line.node));
    StartTransactionCommand();
    Oid types[] = {BOOLOID};
    WalRcvExecResult* result = walrcv_exec(primary, query, lengthof(types), types);
    char* problem = result->status == WALRCV_OK_TUPLES
                        ? nullptr
                        : MemoryContextStrdup(TopMemoryContext, result->err);
    walrcv_clear_result(result);
    CommitTransactionCommand();
    return problem;
}

char* tell_primary(const Found& found) {
    if (found.connection == nullptr)
        return pstrdup("there is no enabled subscription to it");
    load_file("libpqwalreceiver", false);
    char* problem = nullptr;
    WalReceiverConn* primary =
        pg_connect_for_sql(found.connection, found.needs_password, "whisperer hand-over", &problem);
    if (primary == nullptr)
        return problem;
    for (int i = 0; i < found.count && problem == nullptr; i++)
        if (found.lines[i].is_fed)
            problem = ask(primary, found.lines[i]);
    walrcv_disconnect(primary);
    return problem;
}

// Where this database is the primary.
void hand_over_here(const EndedLine& line) {
    begin_transaction("handing an ordered hook over");
    const Oid types[] = {INT8OID, TEXTOID};
    Datum values[] = {Int64GetDatum(line.hook_id), CStringGetTextDatum(line.node)};
    if (run_query("SELECT whisperer_internal.hand_line_over($1, $2)", lengthof(types), types,
                  values, nullptr, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not hand a hook over");
    commit_transaction();
}

Found find_lines() {
    begin_reading("looking for lines to hand over", Tables::LogAndLedger);
    find_ended_lines();
    MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
    Found found = {};
    found.count = (int)SPI_processed;
    found.lines = (EndedLine*)palloc(sizeof(EndedLine) * (Size)(found.count + 1));
    for (int row = 0; row < found.count; row++) {
        found.lines[row] = {int64_column(row, 1), bool_column(row, 2), text_column(row, 3)};
        found.fed += found.lines[row].is_fed;
    }
    find_primary(&found);
    MemoryContextSwitchTo(caller);
    commit_transaction();
    return found;
}

void hand_over_ended_lines(bool is_first) {
    Found found = find_lines();
    for (int i = 0; i < found.count; i++)
        if (!found.lines[i].is_fed)
            hand_over_here(found.lines[i]);
    char* problem = found.fed > 0 ? tell_primary(found) : nullptr;
    if (problem && is_first)
        ereport(LOG,
                errmsg("whisperer: could not tell the primary that %d ordered hooks have "
                       "nothing left to deliver here: %s",
                       found.fed, problem),
                errhint("It is tried again. SELECT whisperer.hand_over(hook_id) in the primary "
                        "does it by hand."));
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PGDLLEXPORT void whisperer_hand_over_main(Datum);

void whisperer_hand_over_main(Datum) {
    using namespace whisperer::pg;
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    HandOverOrder order;
    memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof order);
    pin_session();
    BackgroundWorkerInitializeConnectionByOid(order.database, InvalidOid, 0);
    // A primary that does not answer is tried again later.
    enable_timeout_after(STATEMENT_TIMEOUT, timeout_ms);
    hand_over_ended_lines(order.is_first);
    proc_exit(0);
}
}
