// Ordered hooks: deliveries that wait in line, so that none overtakes another of the same key.
//
// A hook with batches has runs handed out: from a line's head on, as many as go into one request,
// and nothing else of the line until the last of them has a word in the ledger.  Where the receiver
// answers fast, a chain of such requests is: the engine starts each when the one before succeeded.
//
// A hook has one line (ordering 'hook') or one per object_id ('key').  What such a hook gets is
// entered into the ledger as pending with its line's number and next_attempt_at = infinity, and
// handed out from there: of each line the pending delivery with the smallest event id, its head,
// and no other until the head has ended in the ledger.  A head that failed keeps its place until
// its next attempt.  Since the place is a row, it outlives this process.
//
// Invariant: a head is handed out only when every event of its window is in the ledger.  Ids of
// transactions that waited for each other are in the order of their changes, but such transactions
// may become visible in one snapshot and be read in another order.
//
// What is kept here are the lines that have something to do: bounded, and found again in the ledger
// by going round when there were too many, or when the process is new.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct LedgerEntry;

// Heads that are handed out, or lines that are met on a round, at a time.
constexpr int heads_max = 64;

enum class Ordering : int { None, Hook, Key };

Ordering ordering_from(const char* name);

// Lines of one hook; it outlives the reloads of the hook.
struct HookLines {
    MemoryContext context;
    HTAB* lines;               // by number
    dlist_head ready;          // whose head may be handed out, longest waiting first
    dlist_head held;           // whose head is of a window that has not been read to its end
    int busy;                  // requests: lines that lead one
    int own_busy_max;          // of the hook's own; 0: as the settings say
    bool goes_round;           // lines that are not kept here may have something to do
    int64 round_at;            // the round has come so far
    TimestampTz waits_until;   // the earliest moment at which a line's head is due again
    TimestampTz not_before;    // nothing is handed out until then: circuit, rate, no room
    TimestampTz gather_until;  // a batch waits for others, at most until then; DT_NOBEGIN: for none
    int gathered;              // there are, and with so many it waits no more
    int gather_max;
};

HookLines* create_lines(MemoryContext context);
void free_lines(HookLines* lines);

// The line's number for an event with this object_id; 0: none, it need not wait.
int64 line_of(Ordering ordering, const char* object_id);

// When the hook's lines are to be looked at.
TimestampTz lines_due_at(HookLines* lines);

// After the commit: what an entry says of its line.
void note_line(HookLines* lines, const LedgerEntry& entry);
// Of what was handed out, nothing is on its way any more behind these two, first and last of one
// request.
void cut_short(HookLines* lines, int64 number, const pg_uuid_t& first, const pg_uuid_t& last);
// People changed rows of the hook.
void note_lines_changed(HookLines* lines);
// Of the lines whose heads wait for their next attempt, the one whose is next is ready.
void wake_next(HookLines* lines);
// The delivery was handed out and came back without a word to the ledger.
void put_back(HookLines* lines, int64 line, const pg_uuid_t& event_id);
// A window was read to its end, and what it brought is in the ledger.
void release_held(HookLines* lines);

// Whether lines that are not kept here are to be looked for: up to heads_max with numbers beyond
// after, in their order; and what was found.
bool goes_round(HookLines* lines, TimestampTz now, int64* after);
void note_round(HookLines* lines, const int64* numbers, int count);

struct ReadyLine {
    int64 number;
    pg_uuid_t after;  // its head is the first pending delivery behind
};

// The lines whose heads may be handed out, the longest waiting first, as far as there is room; up
// to count_max.  What becomes of each is then to be noted, or it stays ready.
// in_one: they share a request.
int ready_lines(HookLines* lines, ReadyLine* ready, int count_max, bool in_one);
// Whether there is one and no other.
bool one_is_ready(HookLines* lines);

// What was handed out of a line, which had it first.
struct HandedOut {
    pg_uuid_t first;
    pg_uuid_t last;
    bool leads;     // a request, which is counted with this line
    bool in_order;  // what becomes of them is told in their order
};
void note_handed_out(HookLines* lines, int64 number, const HandedOut& what);
// Of what may be handed out there are so few that it waits for others, up to so many in all.
void gather(HookLines* lines, int count, int count_max, TimestampTz until);

enum class HeadFate : int {
    Held,   // its window has not been read to its end
    Waits,  // until a time
    None,   // nothing of the line is pending
};
void note_head(HookLines* lines, int64 number, HeadFate fate, TimestampTz until = 0);

}  // namespace whisperer::pg
