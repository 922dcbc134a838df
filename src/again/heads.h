// The heads of ordered hooks' lines: which rows they are, and handing them out.  What is known of
// the lines is hooks/lines.h.
#pragma once

#include "src/again/due.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Hook;
struct Reader;
struct Worker;

// Of a query for what lines have pending, behind those of due.h.
enum HeadColumn { HeadLine = DueColumnCount + 1, HeadIsNative, HeadCreatedAt };

// In a transaction.
void read_lines(Worker* worker, Hook* hook, TimestampTz now);

// Whether the event's window has been read to its end.
bool is_whole(const Reader* reader, int row);

// Whether the line's head can go now; if not, what becomes of the line is noted.
// probes_before: see hand_out.
bool may_be_handed_out(Worker* worker, Hook* hook, int row, TimestampTz now,
                       TimestampTz* probes_before);

}  // namespace whisperer::pg
