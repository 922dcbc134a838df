// Reading what clients write: parameters of path and query, members of a body.  Each becomes values
// for a statement, or a Problem that names the field.  Strict: what is not of the form that is
// documented is refused, not guessed at, and never reaches PostgreSQL.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "database.h"
#include "http.h"

namespace whisperer::gateway {

// Of a list: what a page has at most.
constexpr int limit_max = 200;

enum class Kind {
    Id,          // of a hook: 1 to 2^63 - 1
    Uuid,        // of an event: 32 hex digits, or with its dashes
    DeliveryId,  // 32 hex digits, "-", id of a hook; two values
    // Of a list in an order: an Id, a Uuid or a DeliveryId, then nothing or "." and a text in hex
    // (see ordering.h); one value more.
    HookCursor,
    EventCursor,
    DeliveryCursor,
    Text,
    Integer,   // of 32 bits, not negative
    Boolean,   // or with a capital, as Python writes it
    Time,      // ISO 8601; without a zone it is UTC
    Choice,    // of a few words
    Limit,     // of a list: one more is asked for, to see whether the list goes on
    Hours,     // 1 to 24
    Database,  // the name of one of several; no value
};

struct Parameter {
    std::string name;
    Kind kind;
    std::string choices = {};  // of a Choice, with a space before and after each
    bool is_of_each = false;   // a cursor that has a place in each of several databases
};

// Members of a body.
enum class Type { Text, Object, Number, Integer, Seconds, Boolean, Time, Anything };
struct Member {
    std::string name;
    Type type;
    bool is_required = false;  // and not null
};
struct BodyRules {
    std::vector<Member> members;
    // Members that answers have and requests must not: refused with what to do instead, or ignored.
    bool ignores_read_only = false;
    bool may_be_absent = false;  // an empty body counts as {}
};

// Values of the path's parts and the query, in order; throws Problem: 404 for a bad part of the
// path, else 400.
std::vector<Value> read_parameters(const Request& request, const std::vector<Parameter>& parameters,
                                   const std::vector<std::string>& path_parts);

// Where a list of several databases goes on in one of them: as next of the page before has it, and
// the values of that.  Empty and NULLs: from its beginning.
struct Place {
    std::string text;
    std::vector<Value> values;
};
// Of each of so many, by the parameter that is_of_each; throws Problem 400.
std::vector<Place> read_places(const Request& request, const std::vector<Parameter>& parameters,
                               std::size_t count);

// The body as JSON text, checked; throws Problem 400 or 415.
std::string read_body(const Request& request, const BodyRules& rules);

// Where the next page of a list is, relative to this one.
std::string next_page(const Request& request, std::string_view cursor);

}  // namespace whisperer::gateway
