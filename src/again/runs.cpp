// Putting batches of lines together; see runs.h.
//
// Lines are taken the longest waiting first, each with as much as it has, until the batch is full.
// What a batch may hold beside its size knows the engine, which says how many it has taken.  If one
// line alone has something to do, as much of it is handed out as goes into a chain of requests.
// Without batches each line has a chain of its own.
#include "src/again/runs.h"

#include "src/again/due.h"
#include "src/again/heads.h"
#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/functions/queue.h"
#include "src/hooks/hook_set.h"
#include "src/hooks/lines.h"
#include "src/ledger/submit.h"
#include "src/ledger/tracker.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// What failed or came back together is due at moments that are a little apart.
constexpr int64 together_us = 10 * 1000;

// Bodies of what hangs behind a request are held in memory.
constexpr Size chain_bytes_max = 1024 * 1024;

struct Run {
    Worker* worker;
    Hook* hook;
    TimestampTz now;
    WhispererBatch batch;  // of at most as many events as the engine has room for
    DueRow* members;
    int room;      // for what hangs behind a request
    int size;      // of members there is room for
    int requests;  // that they may go in, one after the other
    int count;
    Size bytes;
    Size bytes_max;
    bool is_closed;  // it takes no more
};

// Rows of lines, line by line, up to so many of each.  Each limit is met without what is behind it
// being read.
void query_runs(int64 hook_id, const ReadyLine* ready, int count, int line_size, int size) {
    static SPIPlanPtr plan;
    Datum* numbers = (Datum*)palloc(sizeof(Datum) * count);
    Datum* after = (Datum*)palloc(sizeof(Datum) * count);
    for (int i = 0; i < count; i++) {
        numbers[i] = Int64GetDatum(ready[i].number);
        after[i] = UUIDPGetDatum(&ready[i].after);
    }
    const Oid types[] = {INT8OID, INT8ARRAYOID, UUIDARRAYOID, INT8OID, INT8OID, INT8OID};
    Datum values[] = {Int64GetDatum(hook_id),
                      make_array(numbers, nullptr, count, INT8OID),
                      make_array(after, nullptr, count, UUIDOID),
                      Int64GetDatum(my_incarnation()),
                      Int64GetDatum(line_size),
                      Int64GetDatum(size)};
    run_plan(kept_plan(&plan,
                       "SELECT " DUE_COLUMNS
                       ", d.line, coalesce(o.incarnation = $4, false), d.created_at "
                       "FROM (SELECT p.*, asked.place FROM unnest($2, $3) WITH ORDINALITY "
                       "AS asked (line, after, place) CROSS JOIN LATERAL (SELECT * "
                       "FROM whisperer.delivery q WHERE q.hook_id = $1 AND q.line = asked.line "
                       "AND q.event_id > asked.after AND q.line IS NOT NULL "
                       "AND q.state = 'pending' ORDER BY q.hook_id, q.line, q.event_id LIMIT $5) "
                       "AS p LIMIT $6) AS d " DUE_EVENT " ORDER BY d.place, d.event_id",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

// The row behind the last of the line.
int end_of_line(int row) {
    int64 line = int64_column(row, HeadLine);
    int end = row + 1;
    while (end < (int)SPI_processed && int64_column(end, HeadLine) == line)
        end++;
    return end;
}

Size size_of(int row) {
    Datum data = datum_column(row, DueData);
    return data == (Datum)0 ? 0 : toast_raw_datum_size(data);
}

// Of lines that were reached and have nothing pending.
void forget_empty(HookLines* lines, const ReadyLine* ready, int count, int size) {
    bool all = SPI_processed < (uint64)size;
    uint64 row = 0;
    for (int i = 0; i < count && (all || row < SPI_processed); i++) {
        if (row < SPI_processed && int64_column((int)row, HeadLine) == ready[i].number)
            row = (uint64)end_of_line((int)row);
        else
            note_head(lines, ready[i].number, HeadFate::None);
    }
}

// Whether the batch waits for others: it is not full, nothing in it was sent or handed out before,
// and nothing has waited for as long as it may.
bool waits_for_others(const Run& run) {
    if (SPI_processed == 0 || SPI_processed >= (uint64)run.batch.size)
        return false;
    TimestampTz oldest = run.now;
    Size bytes = 0;
    for (int row = 0; row < (int)SPI_processed; row++) {
        if (timestamp_column(row, DueNextAttemptAt) != DT_NOEND || datum_column(row, DueBody))
            return false;
        oldest = Min(oldest, timestamp_column(row, HeadCreatedAt));
        bytes += size_of(row);
    }
    TimestampTz until = oldest + run.batch.wait_ms * 1000;
    if (until <= run.now || bytes >= (Size)run.batch.bytes)
        return false;
    gather(run.hook->run->lines, (int)SPI_processed, run.batch.size, until);
    return true;
}

// Whether a row goes along with the one before it in its line.
bool goes_along(const Run& run, int row) {
    TimestampTz at = timestamp_column(row, DueNextAttemptAt);
    return (at == DT_NOEND || at <= run.now + together_us) && is_whole(run.worker->reader, row) &&
           !row_is_in_flight(run.worker->tracker, uuid_column(row, DueEventId), run.hook->id);
}

// Bodies that are still to be made are made before anything of the line is sent, or batches would
// be as short as the helper is slow.
void make_bodies(Run* run, DueRow* rows, int count, const pg_uuid_t& head) {
    int made = 0;
    for (; made < count && rows[made].needs_transform; made++) {
        if (must_wait_for_room(run->worker, run->hook, run->now))
            break;
        rows[made].delivery.for_run = true;
        hand_elsewhere(run->worker, run->hook, rows[made]);
    }
    if (made == 0) {
        run->is_closed = true;
        return;
    }
    note_handed_out(run->hook->run->lines, rows[0].delivery.line,
                    {head, rows[made - 1].delivery.event_id, false, false});
}

// Takes what can go of one line, whose rows these are.
void take_line(Run* run, int row, int end) {
    TimestampTz probes_before;
    if (!may_be_handed_out(run->worker, run->hook, row, run->now, &probes_before))
        return;
    int64 line = int64_column(row, HeadLine);
    pg_uuid_t head = uuid_column(row, DueEventId);
    DueRow* first = &run->members[run->count];
    DueRow* unmade = nullptr;
    Size bytes = run->bytes;
    int count = 0;
    for (; row < end && !(run->is_closed && unmade == nullptr); row++) {
        DueRow* due = &first[count];
        if (count > 0 && !goes_along(*run, row))
            break;
        if (!read_row(run->worker, run->hook, row, line, probes_before, due))
            break;
        if (due->error && count > 0)
            break;
        if (due->error) {
            note_handed_out(run->hook->run->lines, line, {head, head, false, true});
            hand_elsewhere(run->worker, run->hook, *due);
            return;
        }
        if (due->needs_transform && unmade == nullptr)
            unmade = due;
        count++;
        // The helper takes no more, and each is read into memory.
        if (unmade && due - unmade + 1 >= calls_per_hook_max)
            break;
        run->bytes += unmade ? 0 : due->event.data.size + due->event.body.size;
        // One that only probes goes alone.
        run->is_closed |= probes_before != 0 || run->bytes >= run->bytes_max;
    }
    if (unmade) {
        run->bytes = bytes;
        make_bodies(run, unmade, count - (int)(unmade - first), head);
    } else {
        run->count += count;
    }
}

// Of the line of a member, the first and the last of those that the engine has.
int note_line_sent(Run* run, int member, int sent) {
    int64 line = run->members[member].delivery.line;
    int end = member + 1;
    while (end < sent && run->members[end].delivery.line == line)
        end++;
    note_handed_out(run->hook->run->lines, line,
                    {run->members[member].delivery.event_id,
                     run->members[end - 1].delivery.event_id, member == 0, true});
    return end;
}

void send(Run* run) {
    WhispererEvent* events = (WhispererEvent*)palloc(sizeof(WhispererEvent) * run->count);
    Inflight* deliveries = (Inflight*)palloc(sizeof(Inflight) * run->count);
    for (int i = 0; i < run->count; i++) {
        events[i] = run->members[i].event;
        deliveries[i] = run->members[i].delivery;
    }
    int sent = submit_run(run->worker, events, deliveries, run->count, run->requests);
    for (int i = 0; i < sent;)
        i = note_line_sent(run, i, sent);
}

// How much may be handed out at once, while the engine takes so many: no more than half of them in
// chains, for others need room while these go on.
void measure(Run* run) {
    WhispererCredit credit;
    whisperer_engine_credit(run->worker->engine, &credit);
    bool is_outranked =
        run->worker->hooks->has_priorities && run->hook->priority != WhispererPriorityHigh;
    bool is_chain =
        run->batch.chain > 1 && (run->batch.size <= 1 || one_is_ready(run->hook->run->lines));
    // One run would be all that there is for those of a higher priority, too.
    run->batch.size =
        (int32)Min(run->batch.size, is_outranked ? settings.max_in_flight : credit.deliveries);
    run->batch.size = (int32)Min(run->batch.size, credit.deliveries);
    run->requests = is_chain ? run->batch.chain : 1;
    run->room = is_outranked ? settings.max_in_flight / 4 : (int)(credit.deliveries / 2);
    run->size = Max(Min(run->batch.size * run->requests, run->room), run->batch.size);
    run->bytes_max = is_chain ? Max((Size)run->batch.bytes, chain_bytes_max) : run->batch.bytes;
}

// Of each line as much as its share of the room is, and no more than its chain may have.
void read_chains(Run* run) {
    HookLines* lines = run->hook->run->lines;
    ReadyLine ready[heads_max];
    int count = ready_lines(lines, ready, heads_max, false);
    if (count == 0)
        return;
    int line_size = Min(run->requests, Max(run->room / count, 1));
    run->members = (DueRow*)palloc(sizeof(DueRow) * line_size);
    query_runs(run->hook->id, ready, count, line_size, count * line_size);
    // None of the limits keeps one of the lines out.
    forget_empty(lines, ready, count, count * line_size + 1);
    for (int row = 0; row < (int)SPI_processed && may_hand_out(run->worker, run->hook) &&
                      !must_wait_for_room(run->worker, run->hook, run->now);) {
        int end = end_of_line(row);
        run->count = 0;
        run->bytes = 0;
        run->is_closed = false;
        take_line(run, row, end);
        if (run->count > 0)
            send(run);
        row = end;
    }
}

// False: there is nothing more to hand out now.
bool read_run(Run* run) {
    measure(run);
    int size = run->size;
    run->members = (DueRow*)palloc(sizeof(DueRow) * size);
    ReadyLine* ready = (ReadyLine*)palloc(sizeof(ReadyLine) * size);
    int count = ready_lines(run->hook->run->lines, ready, size, true);
    if (count == 0)
        return false;
    query_runs(run->hook->id, ready, count, size, size);
    forget_empty(run->hook->run->lines, ready, count, size);
    if (waits_for_others(*run))
        return false;
    run->count = 0;
    run->bytes = 0;
    run->is_closed = false;
    for (int row = 0; row < (int)SPI_processed && !run->is_closed;) {
        int end = end_of_line(row);
        take_line(run, row, end);
        row = end;
    }
    if (run->count == 0)
        return false;
    send(run);
    return true;
}

}  // namespace

void read_runs(Worker* worker, Hook* hook, const WhispererBatch& batch, TimestampTz now) {
    Run run = {};
    run.worker = worker;
    run.hook = hook;
    run.now = now;
    run.batch = batch;
    if (batch.size <= 1 && !one_is_ready(hook->run->lines)) {
        measure(&run);
        read_chains(&run);
        return;
    }
    while (may_hand_out(worker, hook) && !must_wait_for_room(worker, hook, now))
        if (!read_run(&run))
            break;
}

}  // namespace whisperer::pg
