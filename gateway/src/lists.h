// Answers that hold rows: pages of lists, and what is read of each database when there are several.
// Such rows say where they are from, and such an answer which databases it lacks.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "route.h"

namespace whisperer::gateway {

// The page of a list that these rows are; see Route::Shape::List.
Answer list_answer(const Call& call, const Rows& rows);

// Which one the parameter database names, if it is given; throws Problem 400.
std::optional<std::size_t> database_of(const Request& request, Databases& databases);

// Runs what a request is for, with the values of the call, in the call's database.
using Read = std::function<Rows(Call&)>;

struct Said {
    std::size_t number;
    std::string database;      // its name; empty: there is no other
    std::optional<Rows> rows;  // nothing: fault says why
    std::string fault;
};

// Asks each database, or the one that the parameter names.  Throws for the first what it would if
// it were the only one; the others have a fault.
std::vector<Said> ask_each(const Call& call, const Read& read);

// With several databases the number of a hook is that of the first, and of a copy of it in a
// delivery node: whether what is asked for is here, too.
bool may_have(const Call& call, const Value& hook);

// A list of each database, together in its order: each goes on where it had come to, which the
// cursor says of all of them.
struct Order {
    std::size_t cursor_at;  // of its values in those of the call
    bool is_down = false;
};
Answer list_of_each(Call& call, const Order& order, const Read& read);

// A JSON object, and where it is from.
std::string with_database(std::string_view object, const std::string& database);
// A member of an object: which databases are missing, and why.
std::string unavailable_member(const std::vector<Said>& all);

}  // namespace whisperer::gateway
