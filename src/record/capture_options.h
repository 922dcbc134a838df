// What a capture trigger was told: its arguments, parsed and resolved against its table, once per
// trigger and backend.
//
// Nothing here holds an FmgrInfo of a user's function: what such a function keeps in it (fn_extra)
// is as long-lived as the statement, and the statement's is in fcinfo->flinfo; see capture.cpp.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct CaptureOptions {
    Oid made_on;  // the trigger's table, or where the trigger of a partition was made
    char* event_type;
    text* source;     // name of made_on
    Oid table_owner;  // of made_on: the trigger publishes with this role's rights
    bool is_in_ring;  // made_on is what events and their results are written to
    bool include_old;
    int column_count;  // 0: the whole row
    AttrNumber* columns;
    TupleDesc columns_desc;  // row type of columns, blessed; null: the whole row
    int changed_count;
    AttrNumber* changed;
    int key_count;
    AttrNumber* keys;
    FmgrInfo* key_outputs;
    Oid serializer;  // InvalidOid: row_to_json
    bool serializer_gives_jsonb;
};

// The options of the trigger that is firing, valid until the end of the transaction.  Errors name
// the trigger: 22023 a bad option, 42703 no such column, 42883 no such serializer.
const CaptureOptions* capture_options(TriggerData* trigger);

}  // namespace whisperer::pg
