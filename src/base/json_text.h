// Text of type json: whether it is JSON, and how an event says that its data could not be made.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

// The type promises it of what its input function made; a cast or a function in C may give out any
// text under its name (PostGIS: NaN).
bool is_json(Datum json);

// How many members its objects have, on all levels, each as often as it is written; -1: it is none.
int64 count_members(Datum json);
int64 count_members(Jsonb* json);

// Data of an event whose own cannot be stored: {"whisperer-problem":"<why>"}.  It goes wherever
// data goes, into dumps and replicas too, and is sent to nobody.  Of a long problem the beginning.
Datum data_with_problem(const char* problem);

// Why the event cannot be sent, in the current context; null: its data is its own.
const char* problem_of(WhispererSpan data);

}  // namespace whisperer::pg
