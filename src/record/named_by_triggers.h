// What the arguments of capture triggers name: columns and serializers.  A name is no dependency
// that PostgreSQL knows of, so that a rename would go by it.
//
// Each check refuses (2BP01) what a statement is about to take away from a trigger.  Called before
// it is run; only catalogs are read, and no table is locked.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// A column of a table, of those that inherit it, or of the tables OF a type.
void check_column(const RangeVar* relation, const char* column);
void check_function(const ObjectWithArgs* object, ObjectType kind);
// All serializers of a schema.
void check_schema(const char* schema);
// An extension's objects move together with its schema's name.
void check_extension(const char* name);

}  // namespace whisperer::pg
