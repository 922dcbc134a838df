// Which table the events of a trigger are about: its row type, its key, its name and its owner's
// rights make them.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// The option by which a child's trigger is its parent's: PostgreSQL makes none of its own for
// children, as it does for partitions.
inline constexpr char as_parent_option[] = "as=parent";

bool is_as_parent(const Trigger& trigger);

// The relation, or the table further up whose trigger this one is.  InvalidOid: the trigger is its
// parent's, and no parent has it (any more): there are no events to make.  *operations: for which
// of INSERT, UPDATE and DELETE (TRIGGER_TYPE_...) there are; what the child has a trigger of its
// own for is that one's.  Only catalogs are read.
Oid table_of_trigger(Relation relation, const Trigger& trigger, int16* operations);

}  // namespace whisperer::pg
