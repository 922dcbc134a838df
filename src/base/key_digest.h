// What is kept of an idempotency key beside its event: a digest.  A key may name a person, and what
// is kept of it outlives the data of an event that is expunged, so that whoever repeats the key is
// still known to repeat it.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

// The SHA-256 of a key's UTF-8 in hex, in the current context.  So has
// whisperer_internal.key_digest it.
text* key_digest(WhispererSpan key);

}  // namespace whisperer::pg
