// PostgreSQL's errors as problems; see database_problem.h.
#include "database_problem.h"

#include "log.h"
#include "words.h"

namespace whisperer::gateway {

namespace {

// The member of the body that the error is about; empty: none.  They have the names of columns, or
// begin the message where the error names no column.
std::string_view member_of(const DatabaseError& error, const Route& route) {
    const std::string_view message = error.message;
    const std::string_view about =
        error.column.empty() ? message.substr(0, message.find(' ')) : error.column;
    if (route.body)
        for (const Member& member : route.body->members)
            if (member.name == about || (member.name == "new_secret" && about == "secret_key"))
                return member.name;
    return {};
}

Problem invalid(const DatabaseError& error, const Route& route) {
    Problem problem{400, "invalid", without_retention(error.message)};
    const std::string_view member = member_of(error, route);
    if (!member.empty())
        problem.errors[std::string(member)].push_back(problem.message);
    return problem;
}

// What is wrong with a hook by its owner's rights; with anything else no more is said.
Problem forbidden(const DatabaseError& error, const Route& route) {
    Problem problem{403, "forbidden", "you may not do that"};
    const std::string_view member = member_of(error, route);
    if (!member.empty()) {
        problem.message = member == "event_type"
                              ? "you may not " + route.use_of_type + " this event type"
                              : "you may not use this function";
        problem.errors[std::string(member)].push_back(problem.message);
    }
    return problem;
}

// A primary key is the server's choice.  It is taken when a sequence is behind, after a restore of
// the data alone.
bool is_taken_key(const DatabaseError& error) {
    return error.sqlstate == "23505" && error.constraint.ends_with("_pkey");
}

}  // namespace

Problem problem_of(const DatabaseError& error, const Route& route, const std::string& request_id) {
    const std::string_view state = error.sqlstate;
    const std::string_view kind = state.substr(0, 2);
    Problem problem{500, "internal_error", "something went wrong on the server"};
    if (is_taken_key(error))
        log_event("database error", error.sqlstate + ": " + error.message, request_id);
    else if (state == "23505" && error.column == "idempotency_key")
        problem = {422, "key_reused", "Idempotency-Key was used for an event with other content"};
    else if (state == "23505")
        problem = {406, "duplicate", error.message};
    // P0001: RAISE EXCEPTION of an operator's own trigger.
    else if (kind == "22" || kind == "23" || state == "42883" || state == "P0001")
        problem = invalid(error, route);
    else if (state == "42704" && error.column == "event_type")
        problem = invalid(error, route);
    else if (state == "42704")
        problem = not_found("there is no such " + route.what);
    else if (state == "54001")
        problem = {400, "invalid", "the body is nested too deeply"};
    else if (state == "55000")
        problem = {406, "not_acceptable", error.message};
    // Of PostgreSQL's own limits it names no column, and they may be gone in a moment.
    else if (state == "53400" && error.column == "owner")
        problem = {406, "not_acceptable", error.message};
    else if (state == "42501")
        return forbidden(error, route);
    else if (state == "57014" || state == "55P03")
        return unavailable("the request took too long", 5);
    else if (state == "25006")
        return unavailable("the database takes no changes now", 2);
    else if (kind == "53" || kind == "57" || kind == "40")
        return unavailable("the database cannot do that now", 2);
    else
        log_event("database error", error.sqlstate + ": " + error.message, request_id);
    // That of a limit is for an operator, whom the caller has to ask.
    if (problem.status != 500 && (state == "53400" || !speaks_sql(error.hint)))
        problem.hint = error.hint;
    return problem;
}

}  // namespace whisperer::gateway
