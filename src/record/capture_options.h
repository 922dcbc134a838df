// What a capture trigger was told: its arguments, parsed and resolved against its table, once per
// trigger and backend.
//
// Nothing here holds an FmgrInfo of a user's function: what such a function keeps in it (fn_extra)
// is as long-lived as the statement, and the statement's is in fcinfo->flinfo; see payload.cpp.
#pragma once

#include "src/pg.h"
#include "src/record/capture_triggers.h"

namespace whisperer::pg {

struct CaptureOptions {
    Oid made_on;  // the trigger's table, or the one that a partition's or child's trigger is of
    char* event_type;
    text* source;     // name of made_on
    Oid table_owner;  // of made_on: the trigger publishes with this role's rights
    mutable FullTransactionId warned_in;  // that this role may not, or that something is gone
    bool is_in_ring;                      // made_on is what events and their results are written to
    bool is_as_parent;                    // a child's trigger that is its parent's
    bool is_orphan;                       // and no parent has it (any more): nothing is recorded
    int16 operations;                     // that it records: TRIGGER_TYPE_INSERT, ...
    // Row type of made_on, which columns, keys and serializer are about; null: it is the trigger's
    // own table.
    TupleDesc desc;
    TupleConversionMap* to_desc;  // from a row of the table; null: it is the same
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
    TupleDesc serializer_desc;  // it takes rows of a parent of made_on; null: of made_on
    TupleConversionMap* to_serializer_desc;  // null: the same
    // Some value's text follows search_path, quote_all_identifiers or lc_monetary.
    bool data_follows_session;
    bool key_follows_session;
    // Some column's type is another row type, which may change by itself.
    bool has_composites;
    // A cast of the user's makes JSON of some value, and finds what it needs by the search_path.
    bool calls_casts;
    // What the trigger names and is no longer there, first of all; null: it is whole.
    const char* gone;
    const char* gone_hint;
    int gone_code;
    const char* problem;  // why no data can be made; null: it can
    // Part of the data is text that a function of no built-in type gave out for json.
    bool may_be_no_json;
    bool records_errors;  // a payload that cannot be made is an event that says so
};

// The options of a capture trigger of the relation, valid until the end of the transaction.  Errors
// name the trigger: 22023 a bad option.
const CaptureOptions* capture_options(Relation relation, const Trigger* trigger);

// Refuses a trigger that names what is not there: 42703 a column, 42883 a serializer.
void require_whole(const CaptureOptions& options);
// A trigger that was whole when it was made is in nobody's way: the same as a warning, once a
// transaction.  What can still be told is recorded; else the event says why not, and fails.
void warn_of_gone(const CaptureOptions& options);

// Whether a warning was asked for already in this transaction.
bool is_warned(const CaptureOptions& options);

// Refuses (39P01) a statement trigger that lacks a transition table for one of the events in
// fired_by (bits of tgtype).
void check_transition_tables(Relation relation, const Trigger& trigger,
                             const CaptureOptions& options, int16 fired_by);

// Refuses (42501) a trigger whose table's owner may not publish its event type.
void require_publisher(Relation relation, const Trigger& trigger, const CaptureOptions& options);
// The same as a warning, once a transaction and trigger: not for each row of a million.
void warn_of_publisher(const CaptureOptions& options);

// The relation's triggers, null if it has none.  Those of the relation cache are freed when the
// relation is loaded anew, which any look into a catalog may lead to.
TriggerDesc* copied_triggers(Relation relation);

// Those of a trigger without any, in the current memory context.
const CaptureOptions* plain_options(Relation relation);

}  // namespace whisperer::pg
