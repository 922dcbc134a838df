// Retries that are due, read per hook as a range of the ledger's index.
//
// Each hook remembers when its next row is due and how far the range was read, so a hook with
// nothing due costs nothing, a paused or failing hook's backlog is not looked at, and index entries
// of rows that were updated since are not walked again, whether vacuum could remove them or not.
#include "src/again/due.h"

#include "src/again/deleted.h"
#include "src/again/heads.h"
#include "src/again/requests.h"
#include "src/base/encoding.h"
#include "src/base/event_facts.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/functions/answer.h"
#include "src/functions/helper.h"
#include "src/hooks/hook_set.h"
#include "src/hooks/hook_types.h"
#include "src/hooks/lines.h"
#include "src/ledger/expunge.h"
#include "src/ledger/ledger.h"
#include "src/ledger/submit.h"
#include "src/ledger/tracker.h"
#include "src/read/page_match.h"
#include "src/read/schema_check.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// As many as were handed out last time, and more if that was all: what is read and finds no room is
// read again.
constexpr int due_rows_min = 64;
constexpr int due_rows_max = 512;
constexpr int freed_rows_max = 1000;

// A hook whose rows come due one by one (a slow endpoint's, handed back at its own speed) has them
// read in groups: ten statements a second, not one for each.
constexpr int64 group_us = 100 * 1000;

// While the hook's functions have no room, its backlog is looked at again after so long at most.
constexpr int64 no_room_wait_us = 100 * 1000;

bool has_functions(const Hook* hook) {
    return hook->transform || hook->callback;
}

int rows_max(const Hook* hook) {
    return has_functions(hook) ? calls_per_hook_max : Max(hook->run->due_rows, due_rows_min);
}

// Of a page so many were handed out.
void note_page(Hook* hook, int count) {
    int next = count == rows_max(hook) ? 2 * count : count;
    hook->run->due_rows = Min(Max(next, due_rows_min), due_rows_max);
}

void query_due(const Hook* hook, bool tried_only = false) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, UUIDOID, INT8OID, BOOLOID};
    pg_uuid_t low_id = hook->run->low_id;
    Datum values[] = {Int64GetDatum(hook->id), TimestampTzGetDatum(hook->run->low_at),
                      UUIDPGetDatum(&low_id), Int64GetDatum(rows_max(hook)),
                      BoolGetDatum(tried_only)};
    run_plan(kept_plan(&plan,
                       "SELECT " DUE_COLUMNS
                       " FROM (SELECT * FROM whisperer.delivery WHERE hook_id = $1 "
                       "AND next_attempt_at IS NOT NULL AND (next_attempt_at, event_id) > ($2, $3) "
                       "AND next_attempt_at < 'infinity' AND (line IS NULL OR state <> 'pending') "
                       "AND (NOT $5 OR retry_count > 0) "
                       "ORDER BY hook_id, next_attempt_at, event_id LIMIT $4) AS d " DUE_EVENT
                       " ORDER BY d.next_attempt_at, d.event_id",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

Inflight due_delivery(const Hook* hook, int row, int64 line, TimestampTz probes_before) {
    Inflight delivery = {};
    delivery.has_row = true;
    delivery.event_id = uuid_column(row, DueEventId);
    delivery.hook_id = hook->id;
    delivery.xid = xid_column(row, DueXid);
    delivery.slot = DatumGetInt16(datum_column(row, DueSlot));
    delivery.retry_count = int32_column(row, DueRetryCount);
    delivery.round_start = int32_column(row, DueRoundStart);
    delivery.line = line;
    // What has not been tried yet need not wait for a time.
    delivery.probes_before = delivery.retry_count > delivery.round_start ? probes_before : 0;
    delivery.page = -1;
    return delivery;
}

// In the format that the row was made with, whatever the hook's is by now.
EventFacts due_facts(const Hook* hook, int row) {
    return facts_of(text_column(row, DueFormat), hook->metadata,
                    timestamp_column(row, DueRecordedAt), datum_column(row, DueSource),
                    datum_column(row, DueObjectId), datum_column(row, DueMeta));
}

// What was sent, as a callback is told it: a body that is no JSON as a string.
Datum told_body(int row, const EventFacts& facts) {
    Datum body = datum_column(row, DueBody);
    Datum data = datum_column(row, DueData);
    if (facts.format == nullptr || (body == (Datum)0 && data == (Datum)0))
        return body;
    if (body == (Datum)0) {
        WhispererEvent event = {};
        pg_uuid_t id = uuid_column(row, DueEventId);
        memcpy(event.id, id.data, sizeof event.id);
        event.type = utf8_of_name(text_column(row, DueEventType));
        if (read_payload(data, &event.data) != nullptr)
            return body;
        add_facts(&event, facts);
        body = PointerGetDatum(body_of(event));
    }
    if (body == (Datum)0 || strcmp(facts.format, "form") != 0)
        return body;
    StringInfoData json;
    initStringInfo(&json);
    escape_json(&json, text_to_cstring(DatumGetTextPP(body)));
    return PointerGetDatum(cstring_to_text_with_len(json.data, json.len));
}

// The delivery has ended, and its callback has not been called, or not to its end.
void tell_callback(Worker* worker, const Hook* hook, int row, const Inflight& delivery) {
    if (hook->callback == nullptr) {
        add_callback_end(worker->ledger, delivery);
        return;
    }
    Ended ended = {};
    ended.response = text_column(row, DueResponse);
    ended.event_type = text_column(row, DueEventType);
    ended.data = datum_column(row, DueData);
    EventFacts facts = due_facts(hook, row);
    ended.has_format = facts.format != nullptr;
    ended.body = told_body(row, facts);
    if (ended.data &&
        toast_raw_datum_size(ended.data) - VARHDRSZ > (Size)settings.max_payload_bytes)
        ended.data = (Datum)0;
    call_back(worker, *hook, delivery, ended);
}

// The body that the transform made for an earlier attempt.
bool read_body(int row, WhispererSpan* body) {
    Datum value = datum_column(row, DueBody);
    if (value == (Datum)0)
        return false;
    text* kept = DatumGetTextPP(value);
    return utf8_from_server(VARDATA_ANY(kept), VARSIZE_ANY_EXHDR(kept), body);
}

void wait_until(Hook* hook, TimestampTz at) {
    hook->run->next_due_at = at;
    if (hook->run->lines)
        hook->run->lines->not_before = at;
}

// A line stands still while its hook's backlog is being changed: what comes in pages may be out of
// order until the last.
bool lines_are_due(const Worker* worker, const Hook* hook, TimestampTz now) {
    return hook->run->lines && lines_due_at(hook->run->lines) <= now &&
           may_hand_out(worker, hook) && hook->carried == nullptr &&
           !is_being_replayed(worker, hook->id);
}

// Of those that the query has from this row on, the first that can be sent.
void probe_from(Worker* worker, const Hook* hook, uint64 row) {
    for (; row < SPI_processed && whisperer_engine_awaits_probe(worker->engine, hook->id); row++)
        if (datum_column((int)row, DueResponse) == (Datum)0)
            hand_out(worker, hook, (int)row, 0, timestamp_column((int)row, DueNextAttemptAt));
}

// A receiver is not left alone until the next attempt of some delivery is due, which may be hours.
// A page may be full of events that are for later; what was tried before is none of them.
void probe_early(Worker* worker, const Hook* hook, uint64 row) {
    bool is_full = SPI_processed == (uint64)rows_max(hook);
    probe_from(worker, hook, row);
    if (!is_full || !whisperer_engine_awaits_probe(worker->engine, hook->id))
        return;
    query_due(hook, true);
    probe_from(worker, hook, 0);
}

// False: it is not due yet, or the engine has no credit or the helper no room.
bool hand_out_due(Worker* worker, Hook* hook, uint64 row, TimestampTz now) {
    TimestampTz at = timestamp_column((int)row, DueNextAttemptAt);
    if (at > now || !may_hand_out(worker, hook)) {
        if (at > now && has_credit(worker))
            probe_early(worker, hook, row);
        hook->run->next_due_at = at > now && row > 0 ? Max(at, now + group_us) : Max(at, now);
        return false;
    }
    if (must_wait_for_room(worker, hook, now))
        return false;
    pg_uuid_t id = uuid_column((int)row, DueEventId);
    hand_out(worker, hook, (int)row, 0);
    hook->run->low_at = at;
    hook->run->low_id = id;
    return true;
}

// Reads on until something is not due yet, or a page is full.
void read_range(Worker* worker, Hook* hook, TimestampTz now) {
    query_due(hook);
    // A full page, or no credit: look again at once.
    hook->run->next_due_at = SPI_processed < (uint64)rows_max(hook) ? DT_NOEND : now;
    uint64 row = 0;
    while (row < SPI_processed && hand_out_due(worker, hook, row, now))
        row++;
    note_page(hook, (int)row);
}

// What waited for a rate that no longer counts is due at once, and from now on spaced by the rate
// that is in force; so are the first that waited for a circuit that has closed.  They are read in
// the next turn: this transaction's snapshot does not show them.
void free_rows(Hook* hook, TimestampTz now) {
    HookRun* run = hook->run;
    int64 rows = free_waiting(hook->id, run->freed_from, &run->freed, freed_rows_max);
    if (rows > 0 && (run->freed_from & FreedFromAddress))
        run->wants_probe = true;
    if (rows < freed_rows_max)
        run->freed_from = 0;
    run->freed_from &= ~FreedFromCircuit;
    run->next_due_at = now;
    if (run->lines)
        note_lines_changed(run->lines);
}

void read_hook(Worker* worker, Hook* hook, TimestampTz now) {
    HookRun* run = hook->run;
    if (run->freed_from != 0) {
        free_rows(hook, now);
        return;
    }
    if (run->next_due_at <= now)
        read_range(worker, hook, now);
    if (run->lines && whisperer_engine_awaits_probe(worker->engine, hook->id))
        wake_next(run->lines);
    if (lines_are_due(worker, hook, now))
        read_lines(worker, hook, now);
}

// An open circuit and a used-up rate are left alone: the backlog is not read.
bool is_due(const Worker* worker, Hook* hook, TimestampTz now) {
    if (!hook->runnable || hook_due_at(hook) > now || has_used_share(worker, hook))
        return false;
    if (hook->run->wants_probe)
        hook->run->wants_probe = whisperer_engine_probe_hook(worker->engine, hook->id) == 1;
    if (must_wait_for_room(worker, hook, now))
        return false;
    int64 wait_ms = whisperer_engine_hook_wait_ms(worker->engine, hook->id);
    if (wait_ms > 0)
        wait_until(hook, now + wait_ms * 1000);
    return wait_ms == 0;
}

// Of one priority.  Hooks take turns at being the first, for what the engine takes may be taken
// before the last has its turn.
void read_hooks(Worker* worker, int priority, TimestampTz now) {
    HookSet* hooks = worker->hooks;
    int first = hooks->due_turn[priority + 1];
    for (int i = 0; i < hooks->count && has_credit(worker); i++) {
        int place = (first + i) % hooks->count;
        Hook* hook = hooks->hooks[place];
        if (hook->priority != priority || !is_due(worker, hook, now))
            continue;
        read_hook(worker, hook, now);
        hooks->due_turn[priority + 1] = place + 1;
    }
}

}  // namespace

bool may_hand_out(const Worker* worker, const Hook* hook) {
    return has_credit(worker) && !has_used_share(worker, hook);
}

bool must_wait_for_room(const Worker* worker, Hook* hook, TimestampTz now) {
    HookRun* run = hook->run;
    run->waits_for_room = has_functions(hook) && !has_room(worker->helper->queue, hook->id);
    if (run->waits_for_room)
        wait_until(hook, now + no_room_wait_us);
    return run->waits_for_room;
}

bool read_row(Worker* worker, const Hook* hook, int row, int64 line, TimestampTz probes_before,
              DueRow* due) {
    *due = {};
    due->delivery = due_delivery(hook, row, line, probes_before);
    Inflight& delivery = due->delivery;
    // Past the deadline of its attempt, but the attempt's result is just about to be entered.
    if (row_is_in_flight(worker->tracker, delivery.event_id, hook->id))
        return false;
    if (datum_column(row, DueResponse)) {
        tell_callback(worker, hook, row, delivery);
        return false;
    }
    due->facts = due_facts(hook, row);
    EventTimes times = times_of(due->facts.meta);
    // Not even to find out whether the receiver is back.  What stands in a line was due once, and
    // its line waits for what comes of it: a clock that was set back changes nothing.
    if (line == 0 && probes_before != 0 && times.deliver_at != 0 && !is_past(times.deliver_at))
        return false;
    due->data = datum_column(row, DueData);
    WhispererEvent& event = due->event;
    due->event_type = text_column(row, DueEventType);
    if (due->event_type == nullptr)
        due->error = {"the event is no longer in the outbox", WhispererErrorEventGone};
    else if (due->data == (Datum)0)
        due->error = expunged;
    else if (is_past(times.expires_at))
        due->error = expired;
    else
        due->error.text = read_payload(due->data, &event.data);
    // Somebody asked for it once more; the schema may have been mended since.
    if (!due->error && bool_column(row, DueIsInvalid)) {
        bound_types(worker->hooks);
        due->error = schema_refusal(worker, due->event_type, event.data);
    }
    if (due->error)
        return true;
    note_event_type(&delivery, due->event_type);
    due->needs_transform = !read_body(row, &event.body) && hook->transform && !delivery.once;
    if (due->needs_transform)
        return true;
    add_facts(&event, due->facts);
    memcpy(event.id, delivery.event_id.data, sizeof event.id);
    event.type = utf8_of_name(due->event_type);
    event.alone =
        delivery.once || whisperer_may_be_about_one(int32_column(row, DueHttpStatus)) == 1;
    return true;
}

bool hand_elsewhere(Worker* worker, const Hook* hook, const DueRow& due) {
    if (due.error)
        add_unsent(worker->ledger, worker->hooks, due.delivery, DeliveryState::Failed, due.error);
    else if (due.needs_transform)
        transform_delivery(worker, *hook, due.delivery, due.event_type, due.data, due.facts);
    else
        return false;
    return true;
}

void hand_out(Worker* worker, const Hook* hook, int row, int64 line, TimestampTz probes_before) {
    DueRow due;
    if (!read_row(worker, hook, row, line, probes_before, &due) ||
        hand_elsewhere(worker, hook, due))
        return;
    WhispererDelivery submitted = {track(worker->tracker, due.delivery), hook->id,
                                   due.delivery.retry_count - due.delivery.round_start,
                                   due.delivery.retry_count};
    submit(worker, due.event, &submitted, 1);
}

void read_due(Worker* worker) {
    HookSet* hooks = worker->hooks;
    TimestampTz now = GetCurrentTimestamp();
    bool any_deleted = false, any_due = false;
    for (int i = 0; i < hooks->count; i++) {
        any_deleted |= hooks->hooks[i]->is_deleted && hooks->hooks[i]->run->next_due_at <= now;
        any_due |= is_due(worker, hooks->hooks[i], now);
    }
    if (any_deleted)
        cancel_deleted(worker, now);
    if (any_due) {
        begin_reading("reading due retries", Tables::LogAndLedger);
        // The highest last: it may take all that there is.
        for (int priority = WhispererPriorityLow; priority <= WhispererPriorityHigh; priority++)
            if (hooks->due_at[priority + 1] <= now)
                read_hooks(worker, priority, now);
        commit_transaction();
    }
    update_next_due(hooks);
}

}  // namespace whisperer::pg
