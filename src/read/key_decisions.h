// Which of the events with one idempotency key is delivered.  Two transactions that ran at once may
// both have recorded one; the first in reading order stands for the others, which are delivered to
// nobody.
//
// Invariant: it is decided once, and on disk before anything of the page is handed out.  The order
// of reading is no property of the rows: after a crash the same two may be read the other way
// round, and each worker reads in an order of its own.
#pragma once

#include "src/pg.h"
#include "src/read/durability.h"

namespace whisperer::pg {

// Events of a page that have a key and no decision yet; lives until the next page is looked at.
struct Undecided;

Undecided* create_undecided(MemoryContext context);

// Of rows with PAGE_COLUMNS, in a transaction: notes those that are undecided, and returns the ids
// of the duplicates, null: there are none.  safe, if any: the page's, to which the transactions
// that decided are added.
HTAB* find_duplicates(Undecided* undecided, const SPITupleTable* rows, uint64 count,
                      SafePosition* safe);

bool has_undecided(const Undecided* undecided);

// Decides on them, in the order of the page.  One transaction.
void decide(Undecided* undecided);

void forget(Undecided* undecided);

inline bool is_duplicate(HTAB* duplicates, const pg_uuid_t& id) {
    return duplicates && hash_search(duplicates, &id, HASH_FIND, nullptr) != nullptr;
}

}  // namespace whisperer::pg
