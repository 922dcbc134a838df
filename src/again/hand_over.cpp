// When the primary is to be told that a line has come to its end; see hand_over.h.
#include "src/again/hand_over.h"

#include "src/base/background.h"
#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"

namespace whisperer::pg {

namespace {

constexpr int64 look_interval_us = USECS_PER_SEC;

// In a primary the turn includes what was not committed when it ended, so that has to end first.
// What has no line waits for no other and need not be waited for.
constexpr const char* ended_lines_query =
    "WITH marks AS MATERIALIZED (SELECT * FROM whisperer.bookmark WHERE incarnation = $1) "
    "SELECT n.hook_id, n.is_fed, n.waits_for FROM whisperer.hook_node n "
    "JOIN whisperer.hook_definition h ON h.id = n.hook_id "
    "CROSS JOIN LATERAL (SELECT n.turns[cardinality(n.turns)]) AS t (turn_end) "
    "WHERE h.ordering <> 'none' AND " IS_AWAITED
    " AND (n.is_fed OR t.turn_end IS NULL "
    "OR pg_snapshot_xmin(pg_current_snapshot()) >= pg_snapshot_xmax(t.turn_end)) "
    "AND NOT EXISTS (SELECT FROM whisperer.delivery d WHERE d.hook_id = n.hook_id "
    "AND d.line IS NOT NULL AND d.state = 'pending') "
    "AND NOT EXISTS (SELECT FROM whisperer.request q WHERE q.hook_id = n.hook_id "
    "AND q.kind <> 'hooks' AND q.incarnation = $1) "
    "AND EXISTS (SELECT FROM marks) "
    "AND NOT EXISTS (SELECT FROM whisperer.outbox o "
    "WHERE o.xid >= (SELECT min(pg_snapshot_xmin(m.seen)) FROM marks m) AND o.incarnation = $1 "
    "AND pg_visible_in_snapshot(o.xid, t.turn_end) AND " UNDONE_BY_SOME ")";

void start_process(HandOver* hand_over) {
    HandOverOrder order = {MyDatabaseId, hand_over->attempts == 0};
    BackgroundProcess process = {};
    process.entry_point = "whisperer_hand_over_main";
    process.type = process.name = "whisperer hand-over";
    process.order = &order;
    process.order_bytes = sizeof order;
    if (!start_background(process, &hand_over->process))
        ereport(LOG, errmsg("whisperer: no room for the process that hands ordered hooks over"),
                errhint("Raise max_worker_processes and restart the server."));
    hand_over->attempts++;
}

}  // namespace

HandOver* create_hand_over(MemoryContext context) {
    return (HandOver*)MemoryContextAllocZero(context, sizeof(HandOver));
}

void find_ended_lines() {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(my_incarnation())};
    run_plan(kept_plan(&plan, ended_lines_query, lengthof(types), types), values, nullptr, true, 0,
             SPI_OK_SELECT);
}

void hand_lines_over(Worker* worker, SteadyTime now) {
    HandOver* hand_over = worker->hand_over;
    if (worker->hooks->awaited_count == 0) {
        hand_over->attempts = 0;
        return;
    }
    if (hand_over->look_at > now || is_running(hand_over->process))
        return;
    begin_reading("looking for lines to hand over", Tables::LogAndLedger);
    find_ended_lines();
    bool found = SPI_processed > 0;
    commit_transaction();
    int64 wait_us = look_interval_us;
    if (found) {
        // The handle outlives the step.
        MemoryContext caller = MemoryContextSwitchTo(worker->context);
        start_process(hand_over);
        MemoryContextSwitchTo(caller);
        wait_us = backoff_us(hand_over->attempts);
    }
    hand_over->look_at = now + wait_us;
}

void stop_hand_over(Worker* worker) {
    stop_background(worker->hand_over->process);
}

}  // namespace whisperer::pg
