// Between the database's encoding and UTF-8, which the wire and the engine speak.  Never an ERROR:
// one text that cannot be converted must not stop a page.  In a transaction only: conversions are
// functions of the catalog.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

// The UTF-8 of a text; false: it has none, and the span is empty.  Otherwise that points into the
// text itself or into memory of the current context.
bool utf8_from_server(const char* data, size_t bytes, WhispererSpan* utf8);

// The same of a name, which is known to have one: of a copy from elsewhere that has none '?' takes
// the place of what is not ASCII.
WhispererSpan utf8_of_name(const char* name);

// A text of the database's encoding, in the current context.  What it cannot express becomes '?'.
text* server_from_utf8(WhispererSpan utf8);

}  // namespace whisperer::pg
