// The worker's side of its helper process: starting it, talking to it without waiting, and getting
// rid of it.
//
//   None -> Starting (registered; connects) -> Idle <-> Busy (has a call) -> None
//
// A process that is told to end, and one whose owner's turn is over, is let go: it ends by itself,
// and while helpers_leaving_max of such have not, no other is started.
#pragma once

#include "src/base/steady_clock.h"
#include "src/functions/message.h"
#include "src/pg.h"

namespace whisperer::pg {

constexpr int helpers_leaving_max = 2;

enum class HelperState {
    None,      // -> Starting
    Starting,  // -> Idle, None
    Idle,      // -> Busy, None
    Busy,      // -> Idle, None
};

struct HelperProcess {
    MemoryContext context;
    HelperState state;
    Oid owner;  // whose functions it runs
    BackgroundWorkerHandle* handle;
    dsm_segment* segment;
    shm_mq_handle* calls;
    shm_mq_handle* answers;
    const char* message;  // being sent; null: none
    Size message_bytes;
    SteadyTime started_at;
    SteadyTime start_at;  // not before: there was no room, or it did not come up
    int failed_starts;
    BackgroundWorkerHandle* leaving[helpers_leaving_max];
    SteadyTime stuck_since;  // all places of those are taken; 0: no
    bool stuck_told;
};

// Asks for a process.  False: not now; see start_at.
bool start_helper(HelperProcess* process, Oid owner, SteadyTime now);

// Idle -> Busy.  message stays where it is until the answer is there.
void send_call(HelperProcess* process, const char* message, Size bytes);

enum class Heard {
    Nothing,
    Answer,  // *answer and its text, valid until the next call; Busy -> Idle
    Ended,   // the process is gone; -> None
};

// Moves bytes; never waits.
Heard listen(HelperProcess* process, const AnswerHeader** answer, Size* bytes, SteadyTime now);

// -> None.  forced: it is told to end at once, whatever it does.
void let_go(HelperProcess* process, bool forced);

// All of them, and waits a little until they are gone.
void end_helpers(HelperProcess* process);

// The same without waiting, at the process's exit.
void abandon_helpers(HelperProcess* process);

}  // namespace whisperer::pg
