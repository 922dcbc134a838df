// Writing events to the outbox: the one way in, for triggers and functions alike.
//
// Invariant: every value is finished before it gets here.  The writer needs no right on the outbox,
// so nothing of anybody's is evaluated on the way in (a cast, a default, a domain check).
#pragma once

#include "src/pg.h"
#include "src/record/context.h"

namespace whisperer::pg {

// An event to be recorded.  Pointers are the caller's; null where there is nothing.
struct NewEvent {
    pg_uuid_t id;
    Datum data;  // json
    text* object_id;
};

// Inserts count events of one type in the current transaction and wakes the workers at its commit.
// source: the table they come from, config_filter: jsonb or null, for_whom: see below.  22023,
// 42704 and privileges are the caller's business, and so is what is said of them.  With a key it is
// one event.
void record_events(const char* event_type, text* source, Jsonb* config_filter, int64 for_whom,
                   const NewEvent* events, int count, const Said& said = {});

// Whom events are for, the outbox's hook_id: a hook's id, for that hook alone, or one of these.
constexpr int64 for_all = 0;      // that want them; null there
constexpr int64 for_nobody = -1;  // of a table whose owner may not publish the type

// For the hooks of the role's members, where nobody has registered the type: whose they are is said
// when they are recorded, because another table may have the name when they are read.
inline int64 for_members_of(Oid role) {
    return -(int64)role;
}

// InvalidOid: for_whom is anything else.
inline Oid members_of(int64 for_whom) {
    return for_whom < for_nobody ? (Oid)-for_whom : InvalidOid;
}

// Refuses (42501, 22023) a name that is no event type's, or that is reserved for operator events.
void check_event_type_name(const char* event_type);

// Would register_event take it, by its name?
bool may_be_registered(const char* event_type);

// May role publish this event type?  Unregistered types have no owner yet: registered is false
// then, and the answer true.  Remembered until a privilege or a membership changes.
bool may_publish(Oid role, const char* event_type, bool* registered);

}  // namespace whisperer::pg
