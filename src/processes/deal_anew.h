// Having all workers of a database leave, so that the first that comes back deals the hooks anew.
//
//   whoever asks           marks the entries of the database
//   the launcher           tells the marked to stop, frees their entries when they have, and starts
//                          none before all have
//   a worker that leaves   writes into its bookmark that hooks are to be shared out again
//   the first that starts  does it, for all, in the transaction in which it reads its bookmark
//
// What is asked for is in shared memory, what the leaving worker wrote is in the table.  A crash of
// the server loses the one or keeps the other; either way no worker runs when hooks are dealt.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Returns how many workers are to leave; 0: the hooks of the database are not shared.
int deal_anew(Oid database);

}  // namespace whisperer::pg
