// The lines of ordered hooks; see lines.h.
#include "src/hooks/lines.h"

#include "src/base/delivery.h"
#include "src/base/id_table.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// Kept per hook.
constexpr int lines_max = 4096;

enum class LineState : int {
    Ready,    // its head may be handed out -> Busy, Held, Waiting, or forgotten if it has none
    Held,     // its head's window is not read to its end -> Ready
    Busy,     // what it had first was handed out -> Ready, Waiting
    Waiting,  // its head's next attempt is not due -> Ready
};

struct Line {
    int64 number;       // key
    pg_uuid_t after;    // nothing up to there is pending
    pg_uuid_t before;   // what was handed out last began behind this
    pg_uuid_t last;     // and ended with this
    bool is_broken;     // something up to there is pending besides, or again
    bool leads;         // Busy: and counts as a request
    TimestampTz until;  // Waiting
    LineState state;
    dlist_node node;  // Ready, Held
};

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
        lines->busy -= line->leads;
    else if (line->state != LineState::Waiting)
        dlist_delete(&line->node);
}

void make_ready(HookLines* lines, Line* line) {
    leave_state(lines, line);
    line->state = LineState::Ready;
    dlist_push_tail(&lines->ready, &line->node);
    // It may be due, or full: what others wait for does not count what stands in it.
    lines->gather_until = DT_NOBEGIN;
}

void make_held(HookLines* lines, Line* line) {
    leave_state(lines, line);
    line->state = LineState::Held;
    dlist_push_tail(&lines->held, &line->node);
}

void make_busy(HookLines* lines, Line* line, bool leads) {
    leave_state(lines, line);
    line->state = LineState::Busy;
    line->leads = leads;
    lines->busy += leads;
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
    line->last = {};
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

bool is_before(const pg_uuid_t& one, const pg_uuid_t& other) {
    return memcmp(one.data, other.data, UUID_LEN) < 0;
}

bool is_last(const Line* line, const pg_uuid_t& id) {
    return memcmp(id.data, line->last.data, UUID_LEN) == 0;
}

void note_arrival(HookLines* lines, const LedgerEntry& entry) {
    Line* line = find_line(lines, entry.line);
    pg_uuid_t before = id_before(entry.event_id);
    if (lines->gather_until != DT_NOBEGIN && ++lines->gathered >= lines->gather_max)
        lines->gather_until = DT_NOBEGIN;
    if (line == nullptr) {
        // While the round has not come here, earlier ones may be pending that nobody kept.
        if (is_full(lines))
            go_round(lines);
        else
            add_line(lines, entry.line, lines->goes_round ? pg_uuid_t{} : before);
        return;
    }
    if (is_before(before, line->after))
        line->after = before;
    // It comes before something that is on its way, and is still there when that has ended.
    line->is_broken |= is_before(entry.event_id, line->last);
    // It was handed out, and found no room or has its body by now.
    if (entry.is_update && is_last(line, entry.event_id))
        make_ready(lines, line);
}

// Nothing of the line is pending up to what has ended, if nothing of what was handed out with it is
// and nothing earlier has come meanwhile.
void note_end(Line* line, const pg_uuid_t& id) {
    if (!line->is_broken && !is_before(line->after, line->before) && is_before(line->after, id))
        line->after = id;
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

int busy_max(const HookLines* lines) {
    return lines->own_busy_max > 0 ? lines->own_busy_max : settings.max_in_flight_per_hook;
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
    lines->lines = create_id_table(context, "whisperer lines", sizeof(Line), 64);
    dlist_init(&lines->ready);
    dlist_init(&lines->held);
    lines->waits_until = DT_NOEND;
    lines->not_before = DT_NOBEGIN;
    lines->gather_until = DT_NOBEGIN;
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
    bool has_room = lines->busy < busy_max(lines);
    TimestampTz ready_at = has_ready ? lines->gather_until : DT_NOEND;
    TimestampTz at = has_room ? Min(ready_at, lines->waits_until) : DT_NOEND;
    return Max(at, lines->not_before);
}

void note_line(HookLines* lines, const LedgerEntry& entry) {
    if (entry.kind == EntryKind::Callback)
        return;
    if (entry.next_attempt_at == DT_NOEND) {
        note_arrival(lines, entry);
        return;
    }
    // One that ended before it stood in line does not tell what became of the head.
    Line* line = entry.is_update ? find_line(lines, entry.line) : nullptr;
    if (line == nullptr)
        return;
    // Nor does the countdown of one that was attempted, or ended, before the answer came.
    if (entry.kind == EntryKind::Countdown) {
        if (line->state == LineState::Waiting)
            make_ready(lines, line);
        return;
    }
    bool is_pending = entry.state == DeliveryState::Pending;
    line->is_broken |= is_pending;
    if (!is_pending)
        note_end(line, entry.event_id);
    if (!is_last(line, entry.event_id))
        return;
    pg_uuid_t before = id_before(entry.event_id);
    bool is_head = memcmp(before.data, line->before.data, UUID_LEN) == 0;
    if (is_pending && is_head)
        make_waiting(lines, line, entry.next_attempt_at);
    else
        make_ready(lines, line);
}

// What was before them has succeeded, and is in the ledger or about to be.
void cut_short(HookLines* lines, int64 number, const pg_uuid_t& first, const pg_uuid_t& last) {
    Line* line = find_line(lines, number);
    if (line == nullptr || line->state != LineState::Busy)
        return;
    line->before = id_before(first);
    line->last = last;
}

void note_lines_changed(HookLines* lines) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, lines->lines);
    while (Line* line = (Line*)hash_seq_search(&scan)) {
        line->after = {};
        if (line->state == LineState::Waiting)
            make_ready(lines, line);
    }
    lines->gather_until = DT_NOBEGIN;
    go_round(lines);
}

void wake_next(HookLines* lines) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, lines->lines);
    Line* next = nullptr;
    while (Line* line = (Line*)hash_seq_search(&scan))
        if (line->state == LineState::Waiting && (next == nullptr || line->until < next->until))
            next = line;
    if (next == nullptr)
        return;
    make_ready(lines, next);
}

void put_back(HookLines* lines, int64 number, const pg_uuid_t& event_id) {
    Line* line = find_line(lines, number);
    if (line && is_last(line, event_id))
        make_ready(lines, line);
}

void release_held(HookLines* lines) {
    while (Line* line = first_line(&lines->held))
        make_ready(lines, line);
}

bool goes_round(HookLines* lines, TimestampTz now, int64* after) {
    wake_waiting(lines, now);
    *after = lines->round_at;
    return lines->goes_round && dlist_is_empty(&lines->ready) && !is_full(lines);
}

void note_round(HookLines* lines, const int64* numbers, int count) {
    for (int i = 0; i < count; i++) {
        lines->round_at = numbers[i];
        if (find_line(lines, numbers[i]) == nullptr)
            add_line(lines, numbers[i], {});
    }
    lines->goes_round = count == heads_max;
}

int ready_lines(HookLines* lines, ReadyLine* ready, int count_max, bool in_one) {
    int requests = busy_max(lines) - lines->busy;
    int room = in_one && requests > 0 ? count_max : Min(requests, count_max);
    int count = 0;
    for (Line* line = first_line(&lines->ready); line && count < room;
         line = next_line(&lines->ready, line))
        ready[count++] = {line->number, line->after};
    return count;
}

bool one_is_ready(HookLines* lines) {
    Line* first = first_line(&lines->ready);
    return first && next_line(&lines->ready, first) == nullptr;
}

void note_handed_out(HookLines* lines, int64 number, const HandedOut& what) {
    Line* line = find_line(lines, number);
    line->after = line->before = id_before(what.first);
    line->last = what.last;
    line->is_broken = !what.in_order;
    make_busy(lines, line, what.leads);
    lines->gather_until = DT_NOBEGIN;
}

void gather(HookLines* lines, int count, int count_max, TimestampTz until) {
    lines->gathered = count;
    lines->gather_max = count_max;
    lines->gather_until = until;
}

void note_head(HookLines* lines, int64 number, HeadFate fate, TimestampTz until) {
    Line* line = find_line(lines, number);
    switch (fate) {
        case HeadFate::Held:
            make_held(lines, line);
            break;
        case HeadFate::Waits:
            make_waiting(lines, line, until);
            break;
        case HeadFate::None:
            forget_line(lines, line);
            break;
    }
}

}  // namespace whisperer::pg
