// Which database this is and whose: the extension's owner, its tables and the incarnation.  Looked
// up once and forgotten when PostgreSQL says that one of our tables, or any role membership,
// changed.
#pragma once

#include "src/base/ring.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Identity {
    uint64 as_of;  // change_number() then
    Oid outbox;
    Oid partitions[slot_count];
    Oid event_keys[slot_count];  // as are these; InvalidOid in tables of 1.1
    Oid key_decisions[slot_count];
    Oid event_type;
    Oid event_type_privilege;
    Oid owner;
    Oid internal_schema;  // whisperer_internal; of 1.1 and before, whose functions are all in one,
                          // whisperer
    int64 incarnation;
};

// 42704 where the extension is not installed.
const Identity& current_identity();

// Another one whenever anything that current_identity() depends on, or a privilege, may have
// changed: what is cached is good while the number is the one that it was looked up under.
uint64 change_number();

// The role that owns the extension's tables.
Oid extension_owner();

// A function that only the extension calls; InvalidOid if there is none.
Oid internal_function(const char* name, const Oid* types, int count);

// 42501 unless the current user may use schema whisperer, which opens the door to what is behind
// it, too.
void require_usage();

// This database's incarnation; see src/install/schema/020-incarnation.sql.
int64 my_incarnation();

}  // namespace whisperer::pg
