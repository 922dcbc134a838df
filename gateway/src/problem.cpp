// Problems as answers; see problem.h.
#include "problem.h"

#include "json_text.h"

namespace whisperer::gateway {

Problem bad_field(std::string_view field, std::string message) {
    Problem problem{400, "invalid", std::string(field) + ": " + message};
    problem.errors[std::string(field)].push_back(std::move(message));
    return problem;
}

Problem not_found(std::string message) {
    return {404, "not_found", std::move(message)};
}

Problem unavailable(std::string message, int retry_after_s) {
    Problem problem{503, "unavailable", std::move(message)};
    problem.retry_after_s = retry_after_s;
    return problem;
}

namespace {

std::string errors_json(const Problem& problem) {
    std::string json;
    for (const auto& [field, messages] : problem.errors) {
        json += (json.empty() ? "{" : ", ") + json_string(field) + ": [";
        for (std::size_t i = 0; i < messages.size(); i++)
            json += (i == 0 ? "" : ", ") + json_string(messages[i]);
        json += "]";
    }
    return json + "}";
}

}  // namespace

Answer answer_of(const Problem& problem, const std::string& request_id) {
    Answer answer;
    answer.status = problem.status;
    answer.body = "{\"code\": " + json_string(problem.code) +
                  ", \"message\": " + json_string(problem.message);
    if (!problem.hint.empty())
        answer.body += ", \"hint\": " + json_string(problem.hint);
    if (!problem.errors.empty())
        answer.body += ", \"errors\": " + errors_json(problem);
    answer.body += ", \"request_id\": " + json_string(request_id) + "}";
    if (problem.status == 401)
        answer.headers.emplace_back("WWW-Authenticate", "Token");
    if (problem.retry_after_s > 0)
        answer.headers.emplace_back("Retry-After", std::to_string(problem.retry_after_s));
    if (!problem.allow.empty())
        answer.headers.emplace_back("Allow", problem.allow);
    return answer;
}

}  // namespace whisperer::gateway
