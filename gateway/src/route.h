// What the gateway serves, as a table: a route says which parameters it takes, which body, which
// statements are run with them, and what of the rows becomes the answer.  Nearly all of the API is
// rows of this table (routes_*.cpp); what is not has a handler.
#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "databases.h"
#include "http.h"
#include "parameters.h"

namespace whisperer::gateway {

struct Route;
struct Call;

// What a request waits for: a look is repeated until its first column is true or the time is up.
// Its second column, as JSON, is the answer.
struct Wait {
    std::span<const Statement> look;
    std::vector<Value> with;
    std::chrono::seconds time;
};

// The rest of an answer whose length is known and which is too large to be held.
struct Pieces {
    std::size_t bytes_left;
    std::function<std::string(const Call&)> next;
    bool is_begun = false;
};

// A request that has been matched, authenticated and read.
struct Call {
    const Request& request;
    const Route& route;
    std::string role;           // empty: the route needs no token
    std::vector<Value> values;  // of path, query and body, in the order of the route
    std::vector<std::string> path_parts;

    Databases& databases;
    std::size_t database = 0;  // which of them it is for
    bool is_beside = false;    // others are asked, too, and do not wait long for this one

    // What a handler leaves to be done: then its answer does not count, or is only a beginning.
    std::optional<Wait> wait = {};
    std::optional<Pieces> pieces = {};

    Pool& pool() const { return databases.pool(database); }
    // Runs as the role of the token.
    Rows run(std::span<const Statement> statements, std::span<const Value> with) const;
    Rows run(std::span<const Statement> statements) const { return run(statements, values); }
};

struct Route {
    enum class Access { Token, Everybody };
    // Of the rows of the last statement: the one column of the one row, no row being 404; or each
    // row's first column, its second being where the list goes on.
    enum class Shape { Object, List, Nothing };

    std::string method;  // GET answers HEAD too
    std::string path;    // with {name} for a parameter, and {name*} for all that follows
    Access access = Access::Token;
    std::vector<Parameter> parameters = {};  // of the path first, then of the query
    std::optional<BodyRules> body = {};
    Shape shape = Shape::Object;
    int status = 200;
    std::vector<Statement> statements = {};
    std::string what = "hook";  // that there is not, when there is no row
    std::function<Answer(Call&)> handler = {};
    bool is_at_once = false;   // the handler needs no database, and waits for nothing
    bool waits = false;        // the handler leaves something to wait for
    bool is_of_each = false;   // several databases are asked, or the one that is named
    bool is_of_portal = true;  // the token of a link into the console is good for it
    std::string use_of_type = "subscribe to";  // what one may not do with an event type
    int bare_column = 0;  // of a list: what clients of dj-whisperer take its rows to be
};

// By resource.
std::vector<Route> hook_routes();
std::vector<Route> event_routes();
std::vector<Route> retry_routes();
std::vector<Route> token_routes();
std::vector<Route> publish_routes();
std::vector<Route> figure_routes();
std::vector<Route> open_routes(const std::string& embed_origins);

}  // namespace whisperer::gateway
