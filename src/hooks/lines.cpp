// The lines of ordered hooks; see lines.h.
#include "src/hooks/lines.h"

#include "src/again/due.h"
#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/ledger.h"
#include "src/ledger/submit.h"
#include "src/ledger/tracker.h"
#include "src/read/outbox_reader.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int lines_max = 4096;  // kept per hook
constexpr int heads_max = 64;    // handed out, or lines met on a round, at a time
// A head that is still with the engine although its row is due again.
constexpr int64 in_flight_retry_us = USECS_PER_SEC;

enum class LineState : int {
    Ready,    // its head may be handed out -> Busy, Held, Waiting, or forgotten if it has none
    Held,     // its head's window is not read to its end -> Ready
    Busy,     // its head was handed out -> Ready, Waiting
    Waiting,  // its head's next attempt is not due -> Ready
};

struct Line {
    int64 number;       // key
    pg_uuid_t after;    // nothing up to there is pending
    TimestampTz until;  // Waiting
    LineState state;
    dlist_node node;  // Ready, Held
};

enum HeadColumn { HeadLine = DueColumnCount + 1, HeadIsNative };

// The largest id before this one.
pg_uuid_t id_before(pg_uuid_t id) {
    for (int i = UUID_LEN - 1; i >= 0; i--)
        if (id.data[i]-- != 0)
            break;
    return id;
}

// PostgreSQL's macros for this are not C++.
Line* line_at(dlist_node* node) {
    return (Line*)((char*)node - offsetof(Line, node));
}

Line* first_line(dlist_head* list) {
    return dlist_is_empty(list) ? nullptr : line_at(dlist_head_node(list));
}

Line* next_line(dlist_head* list, Line* line) {
    return dlist_has_next(list, &line->node) ? line_at(dlist_next_node(list, &line->node))
                                             : nullptr;
}

void leave_state(HookLines* lines, Line* line) {
    if (line->state == LineState::Busy)
        lines->busy--;
    else if (line->state != LineState::Waiting)
        dlist_delete(&line->node);
}

void make_ready(HookLines* lines, Line* line) {
    leave_state(lines, line);
    line->state = LineState::Ready;
    dlist_push_tail(&lines->ready, &line->node);
}

void make_held(HookLines* lines, Line* line) {
    leave_state(lines, line);
    line->state = LineState::Held;
    dlist_push_tail(&lines->held, &line->node);
}

void make_busy(HookLines* lines, Line* line) {
    leave_state(lines, line);
    line->state = LineState::Busy;
    lines->busy++;
}

void make_waiting(HookLines* lines, Line* line, TimestampTz until) {
    leave_state(lines, line);
    line->state = LineState::Waiting;
    line->until = until;
    lines->waits_until = Min(lines->waits_until, until);
}

Line* find_line(const HookLines* lines, int64 number) {
    return (Line*)hash_search(lines->lines, &number, HASH_FIND, nullptr);
}

bool is_full(const HookLines* lines) {
    return hash_get_num_entries(lines->lines) >= lines_max;
}

// A line that was not kept here has something to do.
void add_line(HookLines* lines, int64 number, pg_uuid_t after) {
    Line* line = (Line*)hash_search(lines->lines, &number, HASH_ENTER, nullptr);
    line->after = after;
    line->state = LineState::Ready;
    dlist_push_tail(&lines->ready, &line->node);
}

void forget_line(HookLines* lines, Line* line) {
    leave_state(lines, line);
    (void)hash_search(lines->lines, &line->number, HASH_REMOVE, nullptr);
}

void go_round(HookLines* lines) {
    lines->goes_round = true;
    lines->round_at = PG_INT64_MIN;
}

void note_arrival(HookLines* lines, const LedgerEntry& entry) {
    Line* line = find_line(lines, entry.line);
    pg_uuid_t before = id_before(entry.event_id);
    if (line == nullptr) {
        // While the round has not come here, earlier ones may be pending that nobody kept.
        if (is_full(lines))
            go_round(lines);
        else
            add_line(lines, entry.line, lines->goes_round ? pg_uuid_t{} : before);
        return;
    }
    if (memcmp(before.data, line->after.data, UUID_LEN) < 0)
        line->after = before;
    // The head itself, which was handed out and found no room.
    if (entry.is_update)
        make_ready(lines, line);
}

void wake_waiting(HookLines* lines, TimestampTz now) {
    if (lines->waits_until > now)
        return;
    lines->waits_until = DT_NOEND;
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, lines->lines);
    while (Line* line = (Line*)hash_seq_search(&scan)) {
        if (line->state != LineState::Waiting)
            continue;
        if (line->until <= now)
            make_ready(lines, line);
        else
            lines->waits_until = Min(lines->waits_until, line->until);
    }
}

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
void step_round(HookLines* lines, int64 hook_id) {
    if (!lines->goes_round || !dlist_is_empty(&lines->ready) || is_full(lines))
        return;
    query_round(hook_id, lines->round_at);
    for (uint64 row = 0; row < SPI_processed; row++) {
        lines->round_at = int64_column((int)row, 1);
        if (find_line(lines, lines->round_at) == nullptr)
            add_line(lines, lines->round_at, {});
    }
    lines->goes_round = SPI_processed == heads_max;
}

// The heads of some lines, with the lines' numbers.
void query_heads(int64 hook_id, Datum* numbers, Datum* after, int count) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, INT8ARRAYOID, UUIDARRAYOID, INT8OID};
    Datum values[] = {Int64GetDatum(hook_id), make_array(numbers, nullptr, count, INT8OID),
                      make_array(after, nullptr, count, UUIDOID), Int64GetDatum(my_incarnation())};
    run_plan(kept_plan(&plan,
                       "SELECT " DUE_COLUMNS ", d.line, d.incarnation = $4 "
                       "FROM unnest($2, $3) AS asked (line, after) CROSS JOIN LATERAL (SELECT * "
                       "FROM whisperer.delivery p WHERE p.hook_id = $1 AND p.line = asked.line "
                       "AND p.event_id > asked.after AND p.line IS NOT NULL "
                       "AND p.state = 'pending' ORDER BY p.hook_id, p.line, p.event_id LIMIT 1) "
                       "AS d " DUE_EVENT,
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

// Whether the event's window has been read to its end.  Events that were carried here are older
// than any window.
bool is_whole(const Reader& reader, int row) {
    bool is_null;
    uint64 xid = DatumGetUInt64(column(row, DueXid, &is_null));
    return !bool_column(row, HeadIsNative) ||
           visible_in(xid, reader.is_open ? reader.window->seen : reader.window->until);
}

void take_head(Worker* worker, Hook* hook, int row, TimestampTz now) {
    bool is_null;
    Line* line = find_line(hook->lines, int64_column(row, HeadLine));
    TimestampTz at = DatumGetTimestampTz(column(row, DueNextAttemptAt, &is_null));
    pg_uuid_t id = *DatumGetUUIDP(column(row, DueEventId, &is_null));
    if (!is_whole(*worker->reader, row)) {
        make_held(hook->lines, line);
    } else if (at > now && at != DT_NOEND) {
        make_waiting(hook->lines, line, at);
    } else if (row_is_in_flight(worker->tracker, id, hook->id)) {
        make_waiting(hook->lines, line, now + in_flight_retry_us);
    } else {
        make_busy(hook->lines, line);
        hand_out(worker, hook, row, line->number);
    }
}

// Of the lines that were asked for, those without a head have nothing more to do.
void forget_empty(HookLines* lines, const Datum* numbers, int count) {
    for (int i = 0; i < count && SPI_processed < (uint64)count; i++) {
        int64 number = DatumGetInt64(numbers[i]);
        bool has_head = false;
        for (uint64 row = 0; row < SPI_processed && !has_head; row++)
            has_head = int64_column((int)row, HeadLine) == number;
        if (!has_head)
            forget_line(lines, find_line(lines, number));
    }
}

}  // namespace

Ordering ordering_from(const char* name) {
    if (strcmp(name, "hook") == 0)
        return Ordering::Hook;
    return strcmp(name, "key") == 0 ? Ordering::Key : Ordering::None;
}

HookLines* create_lines(MemoryContext parent) {
    MemoryContext context = AllocSetContextCreate(parent, "whisperer lines", ALLOCSET_SMALL_SIZES);
    HookLines* lines = (HookLines*)MemoryContextAllocZero(context, sizeof(HookLines));
    lines->context = context;
    HASHCTL control = {};
    control.keysize = sizeof(int64);
    control.entrysize = sizeof(Line);
    control.hcxt = context;
    lines->lines =
        hash_create("whisperer lines", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    dlist_init(&lines->ready);
    dlist_init(&lines->held);
    lines->waits_until = DT_NOEND;
    lines->not_before = DT_NOBEGIN;
    go_round(lines);
    return lines;
}

void free_lines(HookLines* lines) {
    MemoryContextDelete(lines->context);
}

int64 line_of(Ordering ordering, const char* object_id) {
    if (ordering == Ordering::Hook)
        return 1;
    if (ordering == Ordering::None || object_id == nullptr)
        return 0;
    // Two keys that share a number wait for each other, which is no harm.
    uint64 hash = DatumGetUInt64(
        hash_any_extended((const unsigned char*)object_id, (int)strlen(object_id), 0));
    return hash == 0 ? 1 : (int64)hash;
}

TimestampTz lines_due_at(HookLines* lines) {
    bool has_ready = !dlist_is_empty(&lines->ready) || (lines->goes_round && !is_full(lines));
    bool has_room = lines->busy < settings.max_in_flight_per_hook;
    TimestampTz at = !has_room ? DT_NOEND : has_ready ? DT_NOBEGIN : lines->waits_until;
    return Max(at, lines->not_before);
}

void note_line(HookLines* lines, const LedgerEntry& entry) {
    if (entry.kind == EntryKind::Callback)
        return;
    if (entry.next_attempt_at == DT_NOEND) {
        note_arrival(lines, entry);
        return;
    }
    // One that ended before it stood in line says nothing of the head.
    Line* line = entry.is_update ? find_line(lines, entry.line) : nullptr;
    if (line == nullptr)
        return;
    // Nor does the countdown of one that has ended, by an attempt that came before the answer.
    if (entry.kind == EntryKind::Countdown &&
        memcmp(entry.event_id.data, line->after.data, UUID_LEN) <= 0)
        return;
    if (entry.kind == EntryKind::Countdown || entry.state == DeliveryState::Pending) {
        make_waiting(lines, line, entry.next_attempt_at);
        return;
    }
    line->after = entry.event_id;
    make_ready(lines, line);
}

void note_lines_changed(HookLines* lines) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, lines->lines);
    while (Line* line = (Line*)hash_seq_search(&scan)) {
        line->after = {};
        if (line->state == LineState::Waiting)
            make_ready(lines, line);
    }
    go_round(lines);
}

void put_back(HookLines* lines, int64 number) {
    Line* line = find_line(lines, number);
    if (line)
        make_ready(lines, line);
}

void release_held(HookLines* lines) {
    while (Line* line = first_line(&lines->held))
        make_ready(lines, line);
}

void read_lines(Worker* worker, Hook* hook, TimestampTz now) {
    HookLines* lines = hook->lines;
    wake_waiting(lines, now);
    step_round(lines, hook->id);
    Datum numbers[heads_max], after[heads_max];
    int room = Min(settings.max_in_flight_per_hook - lines->busy, heads_max);
    int count = 0;
    for (Line* line = first_line(&lines->ready); line && count < room;
         line = next_line(&lines->ready, line)) {
        numbers[count] = Int64GetDatum(line->number);
        after[count++] = UUIDPGetDatum(&line->after);
    }
    if (count == 0)
        return;
    query_heads(hook->id, numbers, after, count);
    for (uint64 row = 0; row < SPI_processed && has_credit(worker); row++) {
        if (must_wait_for_room(worker, hook, now))
            break;
        take_head(worker, hook, (int)row, now);
    }
    forget_empty(lines, numbers, count);
}

}  // namespace whisperer::pg
