// The hooks that this worker serves, as of the snapshot of the page at hand.
//
// Invariant: refresh_hooks, called under a page's snapshot before the page is matched, leaves
// exactly the hooks visible in that snapshot.  It learns of a change from the request log, read by
// the same snapshot rule as the outbox; a counter bumped after commit would leave a gap in which an
// event is read and its hook is not yet known.
#pragma once

#include "src/base/delivery.h"
#include "src/base/snapshot.h"
#include "src/hooks/hook_places.h"
#include "src/hooks/hook_run.h"
#include "src/hooks/lines.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

// Of a hook that was adopted here and whose backlog is not in the ledger yet; see take_over.h.
struct CarriedHook {
    int64 incarnation;  // that since was taken in
    XidSnapshot* since;
    TimestampTz created_at;
};

// SQL: whether another database waits for this one's line of the hook of row n of hook_node.
#define IS_AWAITED                                                     \
    "(n.waits_for IS NOT NULL AND cardinality(n.turns) % 2 = 0 AND "   \
    "(n.waits_for = nullif(current_setting('whisperer.node'), '') OR " \
    "(n.waits_for = '' AND NOT n.is_fed)))"

constexpr int priority_count = 3;

// The format of events that are visible in until and not in that of an earlier one.
struct FormerFormat {
    const char* format;  // as Hook::format
    XidSnapshot* until;
};

// What its row says, and what follows from that; replaced as a whole when the hook is loaded again.
struct Hook {
    HookRun* run;           // how it runs, which is not replaced
    int place;              // in the set's array
    MemoryContext context;  // of everything below; replaced with it
    uint64 load;            // HookSet::load when it was loaded last
    int64 id;
    char* event_type;
    bool runnable;       // the engine has it; otherwise its deliveries wait in the ledger
    bool is_deleted;     // its pending deliveries are to be cancelled, and then it is forgotten
    bool is_unadopted;   // it waits for whisperer.resume()
    bool lacks_room;     // of memory, as others have it
    int64 bytes;         // of memory, about
    uint64 fingerprint;  // of everything the engine was told
    uint64 refused;      // of the reason why it cannot be served; 0: it can
    XidSnapshot* since;  // what is visible in it is not for this hook; null: the hook came with a
                         // dump, so it gets every event recorded here
    // Where delivery nodes share the hooks: the snapshots at which this database's turn to deliver
    // it began, ended, began again...; see src/install/schema/098-node.sql.
    bool is_shared;
    XidSnapshot** turns;
    int turn_count;
    bool is_awaited;  // another one begins when the line here has come to its end
    Ordering ordering;
    CarriedHook* carried;  // null: there is nothing to take over
    char* owner_name;
    char* target_url;
    // Functions of the owner's, run by the helper; null: none.
    Oid owner;
    char* transform;
    bool transform_takes_meta;  // (json, jsonb)
    char* callback;
    char* countdown;         // of a custom countdown
    char* countdown_kwargs;  // JSON
    int32 metadata;          // that its headers or its transform say, bits of WhispererMetadata
    char* format;            // with its payload_key, as the ledger keeps it; null: whisperer
    FormerFormat* formers;   // of what was read before it changed, oldest first; see formats.h
    int former_count;
    int64 formers_incarnation;  // the database that their snapshots were taken in
    bool is_new_format;         // hook_run does not say so yet
    int resumes;                // times that somebody resumed it
    WhispererSpan config;       // UTF-8 JSON
    bool has_filter;
    WhispererFilter* filter;    // null: none, or it cannot be read
    WhispererSpan filter_text;  // UTF-8, where there was no memory for filter
    TimestampTz reload_at;      // the secret before a rotation runs out; DT_NOEND: not by itself
    double rate_limit;          // attempts per second; 0: none
    int priority;               // of WhispererPriority
};

struct TypeEntry;

struct HookSet {
    MemoryContext context;
    Hook** hooks;
    int count;
    int capacity;
    uint64 load;                    // counts the times that hooks were loaded
    int64 bytes;                    // that they take, about
    int64 schema_bytes;             // that the schemas of event types take, about
    HTAB* by_id;                    // Hook
    HTAB* by_type;                  // see hook_types.h
    TypeEntry* last_type;           // that was asked for; null: none, or it was forgotten
    HTAB* operators;                // ids of hooks for operator events, of all workers
    XidSnapshot* requests_seen;     // null: nothing was loaded yet
    bool stale;                     // a role membership changed
    bool requests_arrived;          // people asked for something beside hooks; see requests.h
    bool names_stale;               // a role may have been renamed
    int64 unadopted;                // hooks that wait for whisperer.resume()
    int stale_health;               // hooks of which hook_run says what is over
    bool has_operators;             // somebody, somewhere, subscribed to operator events
    int carried_count;              // hooks with something to take over
    int awaited_count;              // hooks that another database waits for
    bool delivery_paused;           // whisperer.pause()
    TimestampTz reload_at;          // the earliest of the hooks
    const XidSnapshot* sent_until;  // while hooks are loaded: see refresh_hooks
    XidSnapshot* settled;           // see note_settled; null: nothing is
    bool has_new_formats;           // of some hook
    int64 clock_ahead_us;           // the wall clock of the steady one, whose start is arbitrary
    // The earliest of the hooks that may be served, by their priorities; see next_due_at().
    TimestampTz due_at[priority_count];
    int due_turn[priority_count];  // whose turn it is to have its backlog read first
    bool has_priorities;           // not all that may be served have the same
    const HookPlaces* places;
};

// A request of kind 'hooks' names the hook that changed, or one of these.
constexpr int64 changed_rights = 0;      // null there: an event type, a privilege, the control row
constexpr int64 changed_all_hooks = -1;  // any of them may have

// places: which hooks are of this worker.
HookSet* create_hook_set(MemoryContext context, const HookPlaces* places);

// In a read-only transaction: loads the hooks that changed and tells the engine.  sent_until: what
// this process has sent, or one before it may have, is visible in it.
void refresh_hooks(HookSet* set, WhispererEngine* engine, const XidSnapshot* sent_until);

// What is visible in the snapshot is in the ledger, or is not to be sent.
void note_settled(HookSet* set, const XidSnapshot* snapshot);

// What hook_run says of the hook was changed by the worker itself.
void load_again(HookSet* set, int64 hook_id);

// Nothing may be under way for it.
void forget_hook(HookSet* set, Hook* hook, WhispererEngine* engine);

// Null: deleted, with nothing left to cancel, or another worker's.
Hook* find_hook(HookSet* set, int64 id);

// Whether it is this database, of several, that delivers events of a transaction to the hook.
bool has_turn(const Hook& hook, uint64 xid);

// Whether this worker, of several, serves the hook.
bool serves(const HookSet* set, int64 hook_id);

// When the hook has something to hand out.
TimestampTz hook_due_at(const Hook* hook);

// What waited for that is due at once.
void free_hook(HookSet* set, Hook* hook, FreedFrom from);

// Where requests may go has been changed.
void free_all_refused(HookSet* set);

// Its lines have changed.
void note_lines_due(HookSet* set, const Hook* hook);

// A pending row of the hook is due then.
void note_due(HookSet* set, Hook* hook, TimestampTz at);

// Whatever the hooks waited for, it may be due by a clock that was set.
void look_at_all_again(HookSet* set);

// Notices that the wall clock, which says now, was set, and what follows for hooks.
void follow_set_clock(HookSet* set, TimestampTz now);

// When one of the hooks that may be served has something to hand out.  full_priorities: those whose
// hooks are not looked at, see worker/engine.h; 0: none.
TimestampTz next_due_at(const HookSet* set, int full_priorities);

// Looks at all hooks again, after some were read or changed.
void update_next_due(HookSet* set);

// In a writing transaction, now and then, by the first worker: deletes requests that every worker
// has read.  read_by_all: no worker needs a request with a smaller xid.
void empty_requests(HookSet* set, uint64 read_by_all);

}  // namespace whisperer::pg
