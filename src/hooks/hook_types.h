// Which hooks want an event type.  Asked of the database once for each type, and again when a hook
// that the type concerns, or a right, has changed.
#pragma once

#include "src/hooks/hook_set.h"

namespace whisperer::pg {

struct TypeEntry {
    char name[event_type_bytes_max + 1];  // key
    bool registered;
    bool has_schema;
    bool sends_invalid;       // on_invalid: what does not fit is sent all the same
    WhispererSchema* schema;  // null although has_schema: this version cannot read it
    int64 schema_bytes;       // that it takes, about
    bool is_matched;          // with the hooks
    Oid recorder;             // that count and hooks are for
    int count;
    Hook** hooks;  // by id
};

HTAB* create_types(MemoryContext context);

// Under the snapshot of refresh_hooks.  recorder: the owner of the table that recorded the event
// while nobody had registered the type; InvalidOid if somebody had.
TypeEntry* hooks_for(HookSet* set, const char* event_type, Oid recorder);

// What is known of the type beside its hooks: for an event of one hook alone, too.
const TypeEntry* type_of(HookSet* set, const char* event_type);

// Forgets what is known of types if their schemas take too much.  Before an event: nobody has an
// entry then.
void bound_types(HookSet* set);

// Types that a hook's event_type names; null: all.
void forget_types(HookSet* set, const char* pattern);

}  // namespace whisperer::pg
