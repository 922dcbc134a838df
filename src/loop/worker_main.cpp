// The delivery worker's process: start, loop, end.
//
// One turn of the loop reads, lets the engine work, writes what came of it, and waits.  No
// transaction is open while it waits or while the engine works.  An ERROR anywhere ends the
// process; the launcher starts another, which goes on at the bookmark and skips what the ledger
// has.
#include "src/base/worker.h"
#include "src/again/due.h"
#include "src/again/hand_over.h"
#include "src/again/requests.h"
#include "src/again/take_over.h"
#include "src/base/injection.h"
#include "src/base/transaction.h"
#include "src/functions/answer.h"
#include "src/functions/helper.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/ledger.h"
#include "src/ledger/submit.h"
#include "src/loop/balance.h"
#include "src/loop/publish.h"
#include "src/loop/role_names.h"
#include "src/loop/worker_setup.h"
#include "src/processes/shared_state.h"
#include "src/read/outbox_reader.h"
#include "src/read/register_types.h"
#include "src/retention/payload_retention.h"
#include "src/retention/retention.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// Results are gathered for this long or this many, whichever is first, unless nothing else is to
// do.
constexpr int64 batch_age_max_us = 5000;
constexpr int batch_entries_max = 256;
constexpr int held_retry_ms = 5;
// A page of a few rows costs nearly what one of many does.  While the engine has work for a while
// pages are this far apart, or as far as it takes until it has work for less.
constexpr int64 page_interval_us = 2000;
// A wait as long as this is a rest: what pg_stat shows of us is brought up to date.
constexpr long idle_wait_ms = 100;
constexpr int drain_margin_ms = 100;
// PostgreSQL waits 5 s for us when the database is dropped.
constexpr int drain_max_ms = 2000;
constexpr int64 drain_step_ms = 50;
// Nobody's lock may hold up a shutdown.
constexpr int stop_lock_timeout_ms = 1000;
constexpr int64 status_interval_us = 100000;

// Null until the process has found its database and its extension.
Worker* worker = nullptr;
volatile sig_atomic_t stop_pending = false;
bool stopping = false;

// The loop ends in order after the transaction that is open.  Out of a lock's queue PostgreSQL's
// own way gets us at once, and later a time-out; waitLock is set before ProcSleep reads it.  A
// process that is about to exit has no MyProc any more.
void on_sigterm(SIGNAL_ARGS) {
    stop_pending = true;
    if (worker == nullptr || (MyProc != nullptr && MyProc->waitLock != nullptr))
        die(SIGNAL_VALUES);
    LockTimeout = stop_lock_timeout_ms;
    SetLatch(MyLatch);
}

struct Turn {
    PageEnd page_end = PageEnd::Caught;
    bool look;                // something may have been committed
    uint64 completed_before;  // transactions completed when the last look began
    SteadyTime read_at;       // of the log
    SteadyTime due_read_at;   // of what is due in the ledger
    SteadyTime tick_at;
    SteadyTime status_at;
    SteadyTime held_until;
    bool ledger_first;     // what is due goes before what is new
    bool has_written;      // to the ledger, of which something may be due by that
    TimestampTz began_at;  // by the wall clock
    uint64 ticket_looked;
    uint64 windows_ended;
};
Turn turn;

// What is stored is due by the wall clock.  When that was set back, a hook that was to be looked at
// again in a moment would wait for as long.
void follow_clock(TimestampTz now) {
    if (now < turn.began_at)
        look_at_all_again(worker->hooks);
    follow_set_clock(worker->hooks, now);
    turn.began_at = now;
}

// A commit woke us, or the tick found that some transaction has ended, or wait_idle asks.
void notice_commits(SteadyTime now) {
    if (pg_atomic_exchange_u32(&worker->entry->wake, 0) != 0 ||
        pg_atomic_read_u64(&worker->entry->ticket) != turn.ticket_looked)
        turn.look = true;
    if (now < turn.tick_at)
        return;
    turn.tick_at = now + settings.poll_interval_ms * (int64)1000;
    if (pg_transactions_completed() != turn.completed_before || worker->hooks->stale ||
        worker->hooks->reload_at <= turn.began_at)
        turn.look = true;
}

// While a page waits for the standbys nothing is read but once a tick, for what else arrived.
bool is_held(SteadyTime now) {
    return turn.page_end == PageEnd::Held && now < turn.held_until &&
           must_be_held(&worker->reader->safe);
}

// When a page may be read after the one of then.  DT_NOEND: when the engine is through with
// something.
SteadyTime next_page_at(SteadyTime last_page_at, SteadyTime now) {
    WhispererCredit credit;
    whisperer_engine_credit(worker->engine, &credit);
    if (credit.deliveries <= 0 || credit.bytes <= 0)
        return DT_NOEND;
    return credit.is_short ? last_page_at + page_interval_us : now;
}

void read(SteadyTime now) {
    bool more = turn.page_end == PageEnd::More || turn.page_end == PageEnd::Held;
    if (!(turn.look || more) || is_held(now) || next_page_at(turn.read_at, now) > now)
        return;
    turn.read_at = now;
    turn.held_until = now + settings.poll_interval_ms * (int64)1000;
    if (turn.look) {
        turn.look = false;
        // Both are read before the snapshot: what comes later is found by the next look.
        turn.completed_before = pg_transactions_completed();
        turn.ticket_looked = pg_atomic_read_u64(&worker->entry->ticket);
    }
    bool was_open = worker->reader->is_open;
    turn.page_end = read_page(worker);
    if (turn.page_end == PageEnd::Gone)
        stop_pending = true;
    // The window was opened before this look, so its end does not reach what was just committed.
    if (was_open && turn.page_end != PageEnd::Paused && turn.page_end != PageEnd::Held)
        turn.look = true;
}

TimestampTz due_at() {
    return next_due_at(worker->hooks, whisperer_engine_full_priorities(worker->engine));
}

void read_retries(SteadyTime now) {
    // What becomes pending while the log is read again would take all room for what comes after it.
    bool log_first = turn.page_end == PageEnd::More && reads_again(worker->reader);
    if (due_at() > GetCurrentTimestamp() || worker->hooks->delivery_paused || log_first ||
        next_page_at(turn.due_read_at, now) > now)
        return;
    turn.due_read_at = now;
    read_due(worker);
}

void note_circuits() {
    WhispererCircuit changes[16];
    size_t count;
    do {
        count = whisperer_engine_circuit_changes(worker->engine, changes, lengthof(changes));
        for (size_t i = 0; i < count; i++) {
            Hook* hook = find_hook(worker->hooks, changes[i].hook_id);
            if (hook == nullptr)
                continue;
            note_circuit(worker->ledger->news, hook, changes[i]);
            // What is due was not looked at while the circuit was open; nor is it looked whether
            // something can be a probe before the probe may be made.
            if (hook->run->circuit_is_open)
                note_due(worker->hooks, hook,
                         GetCurrentTimestamp() + changes[i].retry_after_ms * 1000);
            else
                free_hook(worker->hooks, hook, FreedFromCircuit);
        }
    } while (count == lengthof(changes));
    if (worker->hooks->stale_health == 0)
        return;
    for (int i = 0; i < worker->hooks->count; i++)
        note_fresh(worker->ledger->news, worker->hooks->hooks[i]);
    worker->hooks->stale_health = 0;
}

void run_engine() {
    WhispererError error = {};
    if (whisperer_engine_pump(worker->engine, &error) != WhispererOk)
        ereport(FATAL, errmsg("whisperer: the delivery engine failed: %s", error.message));
    take_outcomes(worker, stopping);
    note_circuits();
    if (worker->ledger->count > 0)
        hold_at("after-post");
}

bool batch_is_due(SteadyTime now) {
    const Ledger* ledger = worker->ledger;
    if (ledger->count == 0)
        return ledger->news->count > 0;
    WhispererCounts counts;
    whisperer_engine_counts(worker->engine, &counts);
    return ledger->count >= batch_entries_max || now - ledger->oldest_at >= batch_age_max_us ||
           counts.in_flight + counts.queued == 0;
}

struct Writes {
    bool batch;
    bool bookmark;
    bool types;
    bool names;
    bool meters;
};

void write(const Writes& what) {
    begin_transaction("writing the ledger");
    worker->ledger->has_operators = worker->hooks->has_operators;
    if (what.batch)
        write_batch(worker->ledger);
    if (worker->take_over->at_end)
        mark_taken_over(worker);
    if (what.bookmark) {
        write_bookmark(worker->bookmark, worker->tracker);
        note_settled(worker->hooks, seen_at(worker->bookmark->written));
        if (worker->bookmark->worker == 0)
            empty_requests(worker->hooks, requests_read_by_all());
    }
    if (what.types)
        register_types(worker);
    if (what.names)
        refresh_role_names(worker);
    if (what.meters)
        write_meters(worker->ledger->meters);
    hold_at("before-ledger-commit");
    commit_transaction();
    if (what.bookmark)
        hold_at("after-bookmark");
    if (worker->take_over->at_end)
        end_take_over(worker);
    if (!what.batch)
        return;
    note_written(worker->ledger, worker->hooks);
    hold_at("after-ledger");
    for (int i = 0; i < worker->ledger->news->count; i++)
        if (worker->ledger->news->list[i].news == News::Disabled) {
            load_again(worker->hooks, worker->ledger->news->list[i].hook_id);
            turn.look = true;
        }
    turn.has_written = true;
    // What operators are told is in the log.
    turn.look |= worker->hooks->has_operators;
    forget_batch(worker->ledger, worker->tracker);
}

void write_results(SteadyTime now) {
    // There is nothing left to write to.
    if (turn.page_end == PageEnd::Gone)
        return;
    Writes what = {};
    what.batch = batch_is_due(now);
    what.bookmark = bookmark_is_due(worker->bookmark, worker->tracker, now);
    what.types = types_are_due(worker, now);
    what.names = names_are_due(worker, now);
    what.meters = meters_due_at(worker->ledger->meters) <= now;
    if (what.batch || what.bookmark || what.types || what.names || what.meters)
        write(what);
}

void write_whole_batch() {
    Writes what = {};
    what.batch = worker->ledger->count > 0 || worker->ledger->news->count > 0;
    if (what.batch || worker->take_over->at_end)
        write(what);
}

// Heads are handed out when all that came with them can be seen.
void end_window() {
    if (worker->reader->windows_read == turn.windows_ended)
        return;
    turn.windows_ended = worker->reader->windows_read;
    if (worker->ledger->line_arrivals > 0)
        write_whole_batch();
    for (int i = 0; i < worker->hooks->count; i++) {
        Hook* hook = worker->hooks->hooks[i];
        if (hook->run->lines == nullptr || dlist_is_empty(&hook->run->lines->held))
            continue;
        release_held(hook->run->lines);
        note_lines_due(worker->hooks, hook);
    }
}

// What hooks of a higher priority have in the log may be all that the engine takes: every other
// turn what the ledger has for the others goes first.
void read_all(SteadyTime now) {
    turn.ledger_first = worker->hooks->has_priorities && !turn.ledger_first;
    if (turn.ledger_first)
        read_retries(now);
    read(now);
    end_window();
    if (!turn.ledger_first)
        read_retries(now);
}

// What people ask for reaches all that has not begun.
void recall_chains() {
    if (!worker->hooks->requests_arrived)
        return;
    whisperer_engine_break_chains(worker->engine, 0);
    take_outcomes(worker, stopping);
}

// Steps that look into the ledger and add to it.  The batch goes first: the ledger does not show
// yet what it holds.
void look_back(SteadyTime now) {
    bool carried = has_to_take_over(worker);
    bool requests = requests_are_due(worker, now);
    bool retention = retention_is_due(worker, now);
    bool payloads = payload_retention_is_due(worker, now);
    if (!carried && !requests && !retention && !payloads)
        return;
    if (requests)
        recall_chains();
    write_whole_batch();
    if (carried) {
        read_carried(worker);
        write_whole_batch();
    }
    if (requests)
        carry_out_requests(worker);
    else if (retention)
        look_after_retention(worker);
    else if (payloads)
        look_after_payloads(worker);
    write_whole_batch();
}

// What others may know: for status, wait_idle and the emptying of the request log.
void publish(SteadyTime now) {
    WorkerEntry* entry = worker->entry;
    pg_atomic_write_u64(&entry->ticket_done, worker->tracker->ticket_done);
    if (worker->hooks->requests_seen)
        pg_atomic_write_u64(&entry->requests_read, worker->hooks->requests_seen->xmin);
    if (now - turn.status_at < status_interval_us)
        return;
    publish_counts(worker, turn.status_at, now);
    publish_fault(worker);
    turn.status_at = now;
    bool behind = turn.page_end == PageEnd::More || turn.page_end == PageEnd::Held;
    entry->lag_seconds =
        behind ? (double)(GetCurrentTimestamp() - worker->reader->last_row_at) / USECS_PER_SEC
               : 0.0;
    entry->state = worker->hooks->delivery_paused ? WorkerState::Paused : WorkerState::Running;
}

// Milliseconds until something is to be done without anybody waking us.
long wait_ms(SteadyTime now) {
    if (has_to_take_over(worker) || requests_are_due(worker, now) ||
        retention_is_due(worker, now) || payload_retention_is_due(worker, now))
        return 0;
    bool can_retry = !worker->hooks->delivery_paused && has_credit(worker);
    if (turn.has_written && can_retry && due_at() <= GetCurrentTimestamp() &&
        next_page_at(turn.due_read_at, now) <= now)
        return 0;
    SteadyTime page_at = DT_NOEND;
    if (turn.look ? !is_held(now) : turn.page_end == PageEnd::More)
        page_at = next_page_at(turn.read_at, now);
    if (page_at <= now)
        return 0;
    int64 wait = whisperer_engine_wait_ms(worker->engine);
    if (wait < 0)
        wait = settings.poll_interval_ms;
    if (page_at < DT_NOEND)
        wait = Min(wait, (page_at - now) / 1000 + 1);
    int64 helper_wait = helper_wait_ms(worker, now);
    if (helper_wait >= 0)
        wait = Min(wait, helper_wait);
    wait = Min(wait, Max((turn.tick_at - now) / 1000, 0) + 1);
    if (turn.page_end == PageEnd::Held)
        wait = Min(wait, held_retry_ms);
    if (worker->ledger->count > 0)
        wait = Min(wait, batch_age_max_us / 1000);
    SteadyTime meters_at = meters_due_at(worker->ledger->meters);
    if (meters_at < DT_NOEND)
        wait = Min(wait, (Max(meters_at, now) - now) / 1000 + 1);
    TimestampTz retries_at = due_at();
    if (can_retry && retries_at < DT_NOEND) {
        TimestampTz wall_now = GetCurrentTimestamp();
        wait = Min(wait, (Max(retries_at, wall_now) - wall_now) / 1000 + 1);
    }
    return (long)wait;
}

void wait_for_work(WaitEventSet* events) {
    long timeout = wait_ms(steady_now());
    if (timeout >= idle_wait_ms)
        pgstat_report_stat(true);
    WaitEvent happened[3];
    int count = WaitEventSetWait(events, timeout, happened, lengthof(happened), PG_WAIT_EXTENSION);
    for (int i = 0; i < count; i++)
        if (happened[i].events & WL_LATCH_SET)
            ResetLatch(MyLatch);
}

void loop() {
    WaitEventSet* events = create_wait_events(worker->engine);
    turn.look = true;
    while (!stop_pending && !worker->entry->stop_requested) {
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending)
            turn.look |= reload_settings(worker);
        follow_clock(GetCurrentTimestamp());
        SteadyTime began_at = steady_now();
        SteadyTime now = began_at;
        turn.has_written = false;
        notice_commits(now);
        read_all(now);
        run_engine();
        now = steady_now();
        run_helper(worker, now);
        write_results(now);
        look_back(now);
        hand_lines_over(worker, now);
        look_after_balance(worker, now);
        publish(now);
        MemoryContextReset(worker->step);
        note_turn(worker, began_at, steady_now());
        wait_for_work(events);
    }
}

// Requests in flight end in the ledger, as a result or parked, and are not repeated by whoever
// comes next.  What was not started comes back and is forgotten: it is still in the log, or
// pending.  False: it did not wait for all of them.
bool drain() {
    for (int i = 0; i < worker->hooks->count; i++)
        whisperer_engine_drop_hook(worker->engine, worker->hooks->hooks[i]->id);
    SteadyTime deadline =
        steady_now() + (Min(settings.park_after_ms, drain_max_ms) + drain_margin_ms) * (int64)1000;
    WaitEventSet* events = create_wait_events(worker->engine);
    stopping = true;
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        run_engine();
        WhispererCounts counts;
        whisperer_engine_counts(worker->engine, &counts);
        if (counts.in_flight == 0 || steady_now() >= deadline)
            return counts.in_flight == 0;
        int64 wait = whisperer_engine_wait_ms(worker->engine);
        WaitEvent happened[3];
        WaitEventSetWait(events, wait < 0 ? drain_step_ms : (long)Min(wait, drain_step_ms),
                         happened, lengthof(happened), PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    }
}

// What is known by now need not be done again.
void finish() {
    stop_retention(worker);
    stop_hand_over(worker);
    stop_helper(worker);
    worker->bookmark->is_drained = drain() && knows_what_was_sent(worker->reader, worker->tracker);
    LockTimeout = stop_lock_timeout_ms;
    write_whole_batch();
    Writes bookmark = {};
    bookmark.bookmark = true;
    if (bookmark_is_behind(worker->bookmark, worker->tracker) || worker->bookmark->is_drained)
        write(bookmark);
    XLogFlush(XactLastCommitEnd);
    Writes meters = {};
    meters.meters = true;
    while (meters_due_at(worker->ledger->meters) < DT_NOEND)
        write(meters);
    leave_to_be_dealt(worker);
}

}  // namespace

}  // namespace whisperer::pg

extern "C" {

PGDLLEXPORT void whisperer_worker_main(Datum entry_number);

void whisperer_worker_main(Datum entry_number) {
    using namespace whisperer::pg;
    pqsignal(SIGTERM, on_sigterm);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    worker = set_up_worker(DatumGetInt32(entry_number));
    if (worker) {
        MemoryContextSwitchTo(worker->step);
        loop();
        if (turn.page_end != PageEnd::Gone)
            finish();
        else
            report_absent(worker);
    }
    proc_exit(0);
}
}
