// The databases of the cluster, as the launcher knows them.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

enum class ExtensionKnown {
    Unknown,  // to be looked at by a worker -> Absent, Present
    Absent,   // a worker looked, or is not wanted there -> Unknown, when that is announced
    Present,
};

struct KnownDatabase {
    Oid oid;
    char name[NAMEDATALEN];
    ExtensionKnown extension;
    SteadyTime announced_at;  // when it was last to be looked at again; 0: never
    bool seen;                // in the last look at pg_database
    KnownDatabase* next;
};

// Reads pg_database again if a transaction has ended since the last time.  No transaction
// otherwise.
void refresh_databases();

KnownDatabase* first_database();
// Null: dropped, or connections to it are not allowed.
KnownDatabase* find_database(Oid oid);
// A worker is to look whether it has the extension, and wants to be served; what one says that
// looked before does not count.
void look_again_at(KnownDatabase* database);
void look_again_at_all();

}  // namespace whisperer::pg
