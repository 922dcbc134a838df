// Shared memory: which workers there are, how to wake them, what they say of themselves.
//
// Only plain values live here, nothing that belongs to one process.  It exists only when the
// library is preloaded (shared_state() is null otherwise).  Fields are written under the lock
// unless they are atomic; an entry's worker writes its own figures without one, because a reader
// that sees two of them a moment apart does no harm.
#pragma once

#include "src/base/event_id.h"
#include "src/base/steady_clock.h"
#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

enum class WorkerState : int {
    Free,      // nobody's; the launcher may take it -> Starting
    Starting,  // registered, not yet in its database -> Running, Idle, Absent, Stopped
    Running,   // delivering -> Paused, Idle, Absent, Stopped
    Paused,    // whisperer.pause() -> Running, Idle, Absent, Stopped
    Idle,      // library and schema differ in version -> Running, Paused, Absent, Stopped
    Absent,    // nothing to do: no extension, or not enabled; the launcher frees it -> Free
    Stopped,   // its process ended; the launcher restarts it -> Starting, or frees it -> Free
};

struct WorkerEntry {
    Oid database;
    char database_name[NAMEDATALEN];
    int worker;
    int workers;
    WorkerState state;
    char reason[128];
    pid_t pid;
    bool stop_requested;
    bool leaves_to_deal;    // so that hooks are dealt anew; see deal_anew.h
    TimestampTz since;      // of the state
    SteadyTime started_at;  // when the launcher asked for the process
    int failures;
    SteadyTime restart_at;
    pg_atomic_uint32 proc;    // number of the worker's PGPROC + 1; 0: none
    pg_atomic_uint32 wake;    // a recording transaction committed since the worker last looked
    pg_atomic_uint64 ticket;  // asked for by wait_idle
    pg_atomic_uint64 requests_read;  // the worker has read every request with a smaller xid
    pg_atomic_uint64 ticket_done;    // everything committed before this ticket is in the ledger
    int64 in_flight;
    int64 queued;
    int64 delivered;
    int64 failed;
    int64 sent_again;
    int64 invalid;
    double lag_seconds;
    double rate;
    // Of the loop, in this span of five minutes and the one before.
    int64 longest_turn_us;
    int64 longest_turn_before_us;
};

constexpr int announcements_max = 64;
constexpr int withdrawals_max = 16;

struct SharedState {
    LWLock* lock;
    EventIds event_ids;
    pg_atomic_uint32 launcher_proc;
    TimestampTz made_at;  // a crash of the server makes it anew, under the same postmaster
    uint64 last_ticket;   // that wait_idle was given
    int announced_count;  // databases to be looked at once more; > announcements_max: all
    Oid announced[announcements_max];
    int withdrawn_count;  // databases whose workers must stay away
    Oid withdrawn[withdrawals_max];
    RoleLimits limits_of_all;  // written by the postmaster alone
    int entry_count;
    WorkerEntry entries[FLEXIBLE_ARRAY_MEMBER];
};

// Null when the library is not preloaded.
SharedState* shared_state();
// An ERROR instead.
SharedState* require_shared_state();

// Asks for shared memory; _PG_init of a preloading postmaster only.
void request_shared_state();

// The launcher is to look at the database, or with InvalidOid at all, once more.
void announce_database(SharedState* shared, Oid database);

// For a PGPROC field above: the calling process's number + 1.
uint32 my_proc_plus_one();
// Wakes the process whose number + 1 this is, if any.  A process that has just ended is harmless:
// PGPROCs are never freed, and a latch set too often costs one look.
void wake_proc(pg_atomic_uint32* proc_plus_one);

}  // namespace whisperer::pg
