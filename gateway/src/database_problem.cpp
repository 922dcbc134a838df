// PostgreSQL's errors as problems; see database_problem.h.
#include "database_problem.h"

#include "log.h"
#include "words.h"

namespace whisperer::gateway {

namespace {

struct Clue {
    std::string_view in_message;
    std::string_view field;
};
// The first that the message holds; names of columns are the same as those of members.
constexpr Clue clues[] = {
    {"description", "description"},
    {"retry_countdown_config", "retry_countdown_config"},
    {"config.auth", "config"},
    {"additional_headers", "additional_headers"},
    {"additional headers", "additional_headers"},
    {"header", "additional_headers"},
    {"rate_limit", "rate_limit"},
    {"ordering", "ordering"},
    {"filter", "filter"},
    {"transform", "transform"},
    {"callback", "callback"},
    {"countdown", "retry_countdown_config"},
    {"since and until", "since"},
    {"overlap", "overlap"},
    {"secret", "secret_key"},
    {"URL", "target_url"},
    {"event type", "event_type"},
    {"config", "config"},
};

std::string_view field_of(std::string_view message) {
    for (const Clue& clue : clues)
        if (message.find(clue.in_message) != std::string_view::npos)
            return clue.field;
    return {};
}

bool takes(const Route& route, std::string_view field) {
    if (route.body)
        for (const Member& member : route.body->members)
            if (member.name == field || (field == "secret_key" && member.name == "new_secret"))
                return true;
    return false;
}

Problem invalid(const DatabaseError& error, const Route& route) {
    Problem problem{400, "invalid", error.message};
    std::string_view field = field_of(error.message);
    if (!field.empty() && takes(route, field)) {
        if (field == "secret_key" && !route.body->members.empty() &&
            route.body->members.front().name == "new_secret")
            field = "new_secret";
        problem.errors[std::string(field)].push_back(error.message);
    }
    return problem;
}

// What is wrong with a hook by its owner's rights; with anything else no more is said.
Problem forbidden(const DatabaseError& error, const Route& route) {
    Problem problem{403, "forbidden", "you may not do that"};
    const auto of_field = [&](std::string_view field, std::string_view in_message,
                              const char* why) {
        if (!takes(route, field) || error.message.find(in_message) == std::string::npos)
            return;
        problem.message = why;
        problem.errors[std::string(field)].emplace_back(why);
    };
    of_field("event_type", "to subscribe to event type",
             "you may not subscribe to this event type");
    of_field("transform", "may not execute transform function", "you may not use this function");
    of_field("callback", "may not execute callback function", "you may not use this function");
    of_field("retry_countdown_config", "may not execute countdown function",
             "you may not use this function");
    return problem;
}

}  // namespace

Problem problem_of(const DatabaseError& error, const Route& route, const std::string& request_id) {
    const std::string_view state = error.sqlstate;
    const std::string_view kind = state.substr(0, 2);
    Problem problem{500, "internal_error", "something went wrong on the server"};
    if (kind == "22" || state == "23514" || state == "42883")
        problem = invalid(error, route);
    else if (state == "42704" && error.message.find("event type") != std::string::npos)
        problem = invalid(error, route);
    else if (state == "42704")
        problem = not_found("there is no such " + route.what);
    else if (state == "54001")
        problem = {400, "invalid", "the body is nested too deeply"};
    else if (state == "23505")
        problem = {406, "duplicate", error.message};
    else if (state == "55000")
        problem = {406, "not_acceptable", error.message};
    else if (state == "42501")
        return forbidden(error, route);
    else if (state == "57014" || state == "55P03")
        return unavailable("the request took too long", 5);
    else if (kind == "53" || kind == "57" || kind == "40")
        return unavailable("the database cannot do that now", 2);
    else
        log_event("database error", error.sqlstate + ": " + error.message, request_id);
    if (problem.status != 500 && !speaks_sql(error.hint))
        problem.hint = error.hint;
    return problem;
}

}  // namespace whisperer::gateway
