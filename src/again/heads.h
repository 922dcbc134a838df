// The heads of ordered hooks' lines: which rows they are, and handing them out.  What is known of
// the lines is hooks/lines.h.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct Hook;
struct Worker;

// In a transaction.
void read_lines(Worker* worker, Hook* hook, TimestampTz now);

}  // namespace whisperer::pg
