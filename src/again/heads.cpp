// The statements that find heads; see heads.h.
#include "src/again/heads.h"

#include "src/again/due.h"
#include "src/again/requests.h"
#include "src/again/runs.h"
#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/hooks/lines.h"
#include "src/ledger/submit.h"
#include "src/ledger/tracker.h"
#include "src/read/outbox_reader.h"

namespace whisperer::pg {

namespace {

// A head that is still with the engine although its row is due again.
constexpr int64 in_flight_retry_us = USECS_PER_SEC;

// The numbers of the next lines that have something pending: from one to the next in the index, not
// through their rows.
void query_round(int64 hook_id, int64 after) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, INT8OID, INT8OID};
    Datum values[] = {Int64GetDatum(hook_id), Int64GetDatum(after), Int64GetDatum(heads_max)};
    run_plan(
        kept_plan(&plan,
                  "WITH RECURSIVE next (line) AS ((SELECT line FROM whisperer.delivery "
                  "WHERE hook_id = $1 AND line > $2 AND line IS NOT NULL AND state = 'pending' "
                  "ORDER BY hook_id, line, event_id LIMIT 1) UNION ALL SELECT (SELECT d.line "
                  "FROM whisperer.delivery d WHERE d.hook_id = $1 AND d.line > next.line "
                  "AND d.line IS NOT NULL AND d.state = 'pending' "
                  "ORDER BY d.hook_id, d.line, d.event_id LIMIT 1) "
                  "FROM next WHERE next.line IS NOT NULL) "
                  "SELECT line FROM next WHERE line IS NOT NULL LIMIT $3",
                  lengthof(types), types),
        values, nullptr, true, 0, SPI_OK_SELECT);
}

// A step of the round, when there is room for what it may find.
void step_round(HookLines* lines, int64 hook_id, TimestampTz now) {
    int64 after;
    if (!goes_round(lines, now, &after))
        return;
    query_round(hook_id, after);
    int64 numbers[heads_max];
    for (uint64 row = 0; row < SPI_processed; row++)
        numbers[row] = int64_column((int)row, 1);
    note_round(lines, numbers, (int)SPI_processed);
}

// The heads of some lines, with the lines' numbers.
void query_heads(int64 hook_id, const ReadyLine* ready, int count) {
    static SPIPlanPtr plan;
    Datum numbers[heads_max], after[heads_max];
    for (int i = 0; i < count; i++) {
        numbers[i] = Int64GetDatum(ready[i].number);
        after[i] = UUIDPGetDatum(&ready[i].after);
    }
    const Oid types[] = {INT8OID, INT8ARRAYOID, UUIDARRAYOID, INT8OID};
    Datum values[] = {Int64GetDatum(hook_id), make_array(numbers, nullptr, count, INT8OID),
                      make_array(after, nullptr, count, UUIDOID), Int64GetDatum(my_incarnation())};
    run_plan(kept_plan(&plan,
                       "SELECT " DUE_COLUMNS ", d.line, coalesce(o.incarnation = $4, false) "
                       "FROM unnest($2, $3) AS asked (line, after) CROSS JOIN LATERAL (SELECT * "
                       "FROM whisperer.delivery p WHERE p.hook_id = $1 AND p.line = asked.line "
                       "AND p.event_id > asked.after AND p.line IS NOT NULL "
                       "AND p.state = 'pending' ORDER BY p.hook_id, p.line, p.event_id LIMIT 1) "
                       "AS d " DUE_EVENT,
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

void take_head(Worker* worker, Hook* hook, int row, TimestampTz now) {
    TimestampTz probes_before;
    if (!may_be_handed_out(worker, hook, row, now, &probes_before))
        return;
    int64 line = int64_column(row, HeadLine);
    pg_uuid_t id = uuid_column(row, DueEventId);
    note_handed_out(hook->run->lines, line, {id, id, true, true});
    hand_out(worker, hook, row, line, probes_before);
}

// Of the lines that were asked for, those without a head have nothing more to do.
void forget_empty(HookLines* lines, const ReadyLine* ready, int count) {
    for (int i = 0; i < count && SPI_processed < (uint64)count; i++) {
        bool has_head = false;
        for (uint64 row = 0; row < SPI_processed && !has_head; row++)
            has_head = int64_column((int)row, HeadLine) == ready[i].number;
        if (!has_head)
            note_head(lines, ready[i].number, HeadFate::None);
    }
}

}  // namespace

// Events that were carried here are older than any window, and their xids are another database's:
// they may be ahead of ours for years.
bool is_whole(const Reader* reader, int row) {
    uint64 xid = xid_column(row, DueXid);
    return !bool_column(row, HeadIsNative) ||
           visible_in(xid, reader->is_open ? reader->window->seen : reader->window->until);
}

bool may_be_handed_out(Worker* worker, Hook* hook, int row, TimestampTz now,
                       TimestampTz* probes_before) {
    int64 line = int64_column(row, HeadLine);
    TimestampTz at = timestamp_column(row, DueNextAttemptAt);
    bool is_early = at > now && at != DT_NOEND;
    bool is_in_flight = row_is_in_flight(worker->tracker, uuid_column(row, DueEventId), hook->id);
    bool awaits_probe = whisperer_engine_awaits_probe(worker->engine, hook->id) == 1;
    *probes_before = is_early ? at : 0;
    if (!is_whole(worker->reader, row))
        note_head(hook->run->lines, line, HeadFate::Held);
    else if (is_early && (is_in_flight || !awaits_probe))
        note_head(hook->run->lines, line, HeadFate::Waits, at);
    else if (is_in_flight)
        note_head(hook->run->lines, line, HeadFate::Waits, now + in_flight_retry_us);
    else
        return true;
    return false;
}

void read_lines(Worker* worker, Hook* hook, TimestampTz now) {
    step_round(hook->run->lines, hook->id, now);
    WhispererBatch batch;
    whisperer_engine_batch(worker->engine, hook->id, &batch);
    // Bodies are made for one request after the other.
    if (hook->transform || has_requests(worker, hook->id))
        batch.chain = 1;
    if (batch.size > 1 || batch.chain > 1) {
        read_runs(worker, hook, batch, now);
        return;
    }
    ReadyLine ready[heads_max];
    int count = ready_lines(hook->run->lines, ready, heads_max, false);
    if (count == 0)
        return;
    query_heads(hook->id, ready, count);
    for (uint64 row = 0; row < SPI_processed && may_hand_out(worker, hook); row++) {
        if (must_wait_for_room(worker, hook, now))
            break;
        take_head(worker, hook, (int)row, now);
    }
    forget_empty(hook->run->lines, ready, count);
}

}  // namespace whisperer::pg
