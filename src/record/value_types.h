// What the types of a row's columns mean for its text: parts of arrays, ranges, domains and
// composite types count as they stand in the text.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Follows search_path, quote_all_identifiers or lc_monetary: names of objects, and money.
bool text_follows_session(Oid type);

// Its JSON may be no JSON: text that stands under the name of the type json, which a cast or a
// function in C may have given out, goes into the row's as it is.
bool json_may_be_invalid(Oid type);

// A function of the user's makes its JSON, or that of a part.
bool json_is_by_cast(Oid type);

// It is a row type or has one within, which may change while the table stays as it is.
bool has_row_type(Oid type);

}  // namespace whisperer::pg
