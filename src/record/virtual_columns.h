// Virtual generated columns (PostgreSQL 18), which a trigger's row does not have: they are computed
// when they are read.
//
// Their expressions are immutable and evaluated as the writing user, as a query of that user's
// would.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct VirtualColumns;

inline bool has_virtual_columns(Relation relation) {
    return pg_has_virtual_columns(RelationGetDescr(relation));
}

// Serves rows of the relation for as long as the context lives.
VirtualColumns* prepare_virtual_columns(Relation relation, MemoryContext context);

// The row with its virtual columns, in the current context.
HeapTuple compute_virtual_columns(VirtualColumns* columns, HeapTuple row);

}  // namespace whisperer::pg
