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
    Oid event_type;
    Oid event_type_privilege;
    Oid owner;
    int64 incarnation;
};

// 42704 where the extension is not installed.
const Identity& current_identity();

// Another one whenever anything that current_identity() depends on, or a privilege, may have
// changed: what is cached is good while the number is the one that it was looked up under.
uint64 change_number();

// The role that owns the extension's tables.
Oid extension_owner();

// This database's incarnation; see src/install/schema/020-incarnation.sql.
int64 my_incarnation();

}  // namespace whisperer::pg
