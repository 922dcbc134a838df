// Gathering results; the statements that write them are in ledger_write.cpp.
#include "src/ledger/ledger.h"

#include "src/base/unix_time.h"
#include "src/hooks/formats.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// Rows that one delivery may have in past_attempt.
constexpr int attempts_kept_max = 100;

constexpr int64 ping_retry_us = USECS_PER_SEC;

// Outcomes arrive outside of a transaction, where no conversion can be looked up: they stay UTF-8
// until they are written.
WhispererSpan kept_text(Ledger* ledger, WhispererSpan span) {
    if (span.size == 0)
        return {};
    char* copy = (char*)MemoryContextAlloc(ledger->context, span.size);
    memcpy(copy, span.data, span.size);
    return {copy, span.size};
}

LedgerEntry entry_for(const Inflight& delivery) {
    LedgerEntry entry = {};
    entry.is_update = delivery.has_row;
    entry.event_id = delivery.event_id;
    entry.hook_id = delivery.hook_id;
    entry.xid = delivery.xid;
    entry.slot = delivery.slot;
    entry.line = delivery.line;
    entry.page = delivery.page;
    entry.retry_count = delivery.retry_count;
    entry.is_operator_event = delivery.is_operator_event;
    entry.lacks_key = delivery.lacks_key;
    return entry;
}

DeliveryState state_after(WhispererOutcomeKind kind, const Hook* hook, bool once) {
    switch (kind) {
        case WhispererDelivered:
            return DeliveryState::Delivered;
        case WhispererFailed:
            return DeliveryState::Failed;
        case WhispererRetry:
            if (once)
                return DeliveryState::Failed;
            break;
        case WhispererReturned:
        case WhispererParked:
        case WhispererUnsent:
            break;
    }
    return hook && !hook->is_deleted ? DeliveryState::Pending : DeliveryState::Cancelled;
}

// An attempt that was made only to probe a circuit costs its delivery nothing: the next is made
// when it would have been, unless the answer is one after which none is made.  Beyond those that
// are kept, they are not entered one by one.
void keep_plan(LedgerEntry* entry, const Inflight& delivery, const WhispererOutcome& outcome) {
    bool has_failed = outcome.attempted &&
                      (outcome.kind == WhispererRetry || (outcome.kind == WhispererFailed &&
                                                          !outcome.hook_gone && !outcome.given_up));
    if (delivery.probes_before == 0 || entry->state == DeliveryState::Cancelled ||
        !(has_failed || outcome.kind == WhispererReturned))
        return;
    entry->state = DeliveryState::Pending;
    entry->next_attempt_at = delivery.probes_before;
    if (!has_failed)
        return;
    entry->round_start = delivery.round_start + 1;
    if (entry->retry_count <= attempts_kept_max)
        return;
    entry->retry_count = delivery.retry_count;
    entry->round_start = 0;
    entry->requested_at = 0;
}

// When the hook is to be looked at for the sake of a delivery that is pending.
TimestampTz look_at(const LedgerEntry& entry, const Inflight& delivery,
                    const WhispererOutcome& outcome) {
    if (delivery.probes_before != 0 && outcome.kind == WhispererReturned)
        return GetCurrentTimestamp() + outcome.next_after_ms * 1000;  // for another probe
    return entry.next_attempt_at;
}

// A callback is called when a delivery has ended; a ping's result is given to no callback.
void call_back(LedgerEntry* entry, HookSet* hooks, Hook* hook, bool once) {
    bool has_ended =
        entry->state == DeliveryState::Delivered || entry->state == DeliveryState::Failed;
    if (!has_ended || once || hook == nullptr || hook->is_deleted || hook->callback == nullptr)
        return;
    entry->next_attempt_at = GetCurrentTimestamp();
    note_due(hooks, hook, entry->next_attempt_at);
}

// Outside of a transaction no conversion can be looked up; what the engine says is ASCII but for a
// name in it.
void log_attempt(const LedgerEntry& entry, const WhispererOutcome& outcome) {
    const char* what = entry.state == DeliveryState::Delivered ? "delivered"
                       : entry.state == DeliveryState::Pending ? "failed, to be tried again"
                                                               : "failed";
    char id[2 * UUID_LEN + 1];
    for (int i = 0; i < UUID_LEN; i++)
        snprintf(id + 2 * i, 3, "%02x", entry.event_id.data[i]);
    char status[32] = "";
    if (outcome.http_status != 0)
        snprintf(status, sizeof status, ", HTTP status %d", outcome.http_status);
    ereport(
        LOG,
        errmsg("whisperer: hook " INT64_FORMAT ": event %s: attempt %d %s%s, " INT64_FORMAT " ms",
               entry.hook_id, id, entry.retry_count, what, status, outcome.response_time_us / 1000),
        outcome.error.size > 0
            ? errdetail_internal("%.*s", (int)outcome.error.size, outcome.error.data)
            : 0);
}

// Once for a hook, until it goes elsewhere or the settings change.
void tell_of_refusal(Hook* hook, const WhispererOutcome& outcome) {
    if (hook == nullptr || outcome.error_code != WhispererErrorNotAllowed || outcome.outdated ||
        hook->run->refusal_is_told)
        return;
    hook->run->refusal_is_told = true;
    ereport(LOG,
            errmsg("whisperer: hook " INT64_FORMAT ": %.*s", hook->id, (int)outcome.error.size,
                   outcome.error.data),
            errhint("What waits for it is sent as soon as the setting lets it go there."));
}

}  // namespace

Ledger* create_ledger(MemoryContext context) {
    Ledger* ledger = (Ledger*)MemoryContextAllocZero(context, sizeof(Ledger));
    ledger->context =
        AllocSetContextCreate(context, "whisperer ledger batch", ALLOCSET_DEFAULT_SIZES);
    ledger->capacity = 1024;
    ledger->entries =
        (LedgerEntry*)MemoryContextAlloc(context, sizeof(LedgerEntry) * ledger->capacity);
    ledger->news = create_news_list(context, ledger->context);
    ledger->meters = create_meters(context);
    return ledger;
}

void add_entry(Ledger* ledger, const LedgerEntry& entry) {
    if (ledger->count == ledger->capacity) {
        ledger->capacity *= 2;
        ledger->entries =
            (LedgerEntry*)repalloc_huge(ledger->entries, sizeof(LedgerEntry) * ledger->capacity);
    }
    if (ledger->count == 0)
        ledger->oldest_at = steady_now();
    ledger->line_arrivals += entry.line != 0 && !entry.is_update;
    ledger->entries[ledger->count++] = entry;
}

void add_unsent(Ledger* ledger, HookSet* hooks, const Inflight& delivery, DeliveryState state,
                const DeliveryError& error) {
    LedgerEntry entry = entry_for(delivery);
    Hook* hook = find_hook(hooks, delivery.hook_id);
    entry.state = state;
    if (state == DeliveryState::Pending) {
        entry.next_attempt_at = delivery.line != 0         ? DT_NOEND
                                : delivery.deliver_at != 0 ? delivery.deliver_at
                                                           : GetCurrentTimestamp();
        note_due(hooks, hook, entry.next_attempt_at);
    }
    call_back(&entry, hooks, hook, delivery.once);
    // Each attempt is made in the format that the row is made with.
    const char* format = hook && !delivery.has_row
                             ? format_for(hooks, *hook, delivery.xid, delivery.incarnation)
                             : nullptr;
    if (format)
        entry.format = kept_text(ledger, {format, strlen(format)});
    if (error)
        entry.error = kept_text(ledger, {error.text, strlen(error.text)});
    entry.error_code = error.code;
    add_entry(ledger, entry);
}

void add_body(Ledger* ledger, const Inflight& delivery, WhispererSpan body, WhispererSpan format) {
    LedgerEntry entry = entry_for(delivery);
    entry.state = DeliveryState::Pending;
    entry.next_attempt_at = DT_NOEND;
    entry.body = body;
    entry.format = kept_text(ledger, format);
    add_entry(ledger, entry);
}

void add_outcome(Ledger* ledger, Tracker* tracker, HookSet* hooks,
                 const WhispererOutcome& outcome) {
    Inflight* delivery = tracked(tracker, outcome.token);
    Hook* hook = find_hook(hooks, outcome.hook_id);
    LedgerEntry entry = entry_for(*delivery);
    entry.state = state_after(outcome.kind, hook, delivery->once);
    entry.retry_count += outcome.attempted ? 1 : 0;
    if (entry.state == DeliveryState::Pending)
        entry.next_attempt_at = GetCurrentTimestamp() + outcome.next_after_ms * 1000;
    // It met a circuit that was being probed, or no token: a ping is not put off for long.
    if (delivery->once && outcome.kind == WhispererReturned && hook) {
        entry.next_attempt_at = Min(entry.next_attempt_at, GetCurrentTimestamp() + ping_retry_us);
        hook->run->wants_probe = true;
    }
    if (outcome.attempted && outcome.kind != WhispererParked) {
        entry.is_failed_attempt =
            outcome.kind != WhispererDelivered && entry.retry_count <= attempts_kept_max;
        entry.requested_at = timestamp_from_unix(outcome.started_at_us);
        entry.response_time_us = outcome.response_time_us;
        entry.http_status = outcome.http_status;
        entry.response = kept_text(ledger, outcome.response);
        if (settings.log_deliveries)
            log_attempt(entry, outcome);
    }
    keep_plan(&entry, *delivery, outcome);
    if (entry.state == DeliveryState::Pending)
        note_due(hooks, hook, look_at(entry, *delivery, outcome));
    call_back(&entry, hooks, hook, delivery->once);
    entry.body = kept_text(ledger, outcome.body);
    entry.format = kept_text(ledger, outcome.format);
    entry.error = kept_text(ledger, outcome.error);
    entry.error_code = outcome.error_code;
    tell_of_refusal(hook, outcome);
    note_outcome(ledger->news, hook, outcome);
    add_entry(ledger, entry);

    delivery->page = -1;
    if (outcome.kind == WhispererParked)
        mark_row(tracker, delivery);
    else
        untrack(tracker, outcome.token);
}

void add_callback_end(Ledger* ledger, const Inflight& delivery) {
    LedgerEntry entry = entry_for(delivery);
    entry.kind = EntryKind::Callback;
    add_entry(ledger, entry);
}

void add_countdown(Ledger* ledger, HookSet* hooks, const Inflight& delivery, TimestampTz at) {
    LedgerEntry entry = entry_for(delivery);
    entry.kind = EntryKind::Countdown;
    entry.next_attempt_at = at;
    Hook* hook = find_hook(hooks, delivery.hook_id);
    if (hook)
        note_due(hooks, hook, at);
    add_entry(ledger, entry);
}

void note_written(Ledger* ledger, HookSet* hooks) {
    for (int i = 0; i < ledger->count; i++) {
        const LedgerEntry& entry = ledger->entries[i];
        count_entry(ledger->meters, entry);
        Hook* hook = find_hook(hooks, entry.hook_id);
        if (hook && entry.next_attempt_at != 0)
            note_due(hooks, hook, entry.next_attempt_at);
        if (hook && hook->run->lines && entry.line != 0) {
            note_line(hook->run->lines, entry);
            note_lines_due(hooks, hook);
        }
    }
}

void forget_batch(Ledger* ledger, Tracker* tracker) {
    for (int i = 0; i < ledger->count; i++)
        settle(tracker, ledger->entries[i].page);
    ledger->count = ledger->line_arrivals = 0;
    ledger->news->count = 0;
    MemoryContextReset(ledger->context);
}

}  // namespace whisperer::pg
