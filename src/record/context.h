// What is said of events beside their data.  whisperer.context: what a transaction says of all its
// events, those of triggers too.
//
// Invariant: only a value that was set in the transaction counts.  A session goes from one client
// to the next (a pooler lends it), and what the one left behind must not be said of the other's
// events.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Defines the setting.  _PG_init only, before the prefix is reserved.
void define_context();

// What is said of one event alone; null: nothing.
struct Said {
    Jsonb* headers;
    TimestampTz deliver_at;  // 0: at once
    TimestampTz expires_at;  // 0: never
    text* key;               // its idempotency key; null: none
    TimestampTz key_until;   // until when it holds
};

// The outbox's column meta for an event of this transaction, as text of type json; null: nothing is
// said.  What has a key begins with it, so that the worker need not read the others for it.
text* make_meta(const Said& said);

}  // namespace whisperer::pg
