// The rules of HTTP statuses.
#include "worker/dispatch/verdict.h"

#include <algorithm>

namespace whisperer::engine {

std::string status_error(const WireResult& result) {
    const std::string status = std::to_string(result.http_status);
    if (result.http_status / 100 == 3 && !result.location.empty())
        return "redirect refused: " + status + " to " + result.location;
    if (result.http_status == 401)
        return "unauthorized: HTTP status 401";
    return "HTTP status " + status;
}

Outcome judge(WireResult&& result, const RetryPlan& plan, int retry_count, Clock& clock,
              std::string failure) {
    const bool answered = result.end == WireEnd::Answered;
    Outcome outcome;
    outcome.attempted = true;
    outcome.outdated = result.outdated;
    outcome.response_time = result.elapsed;
    outcome.http_status = answered ? result.http_status : 0;
    outcome.response = std::move(result.response);
    const bool is_success = answered && result.http_status / 100 == 2;
    if (is_success && failure.empty()) {
        outcome.kind = WhispererDelivered;
        return outcome;
    }
    outcome.error = is_success ? std::move(failure)
                    : answered ? status_error(result)
                               : std::move(result.error);
    outcome.error_code =
        !answered && result.refused ? WhispererErrorNotAllowed : WhispererErrorNone;
    outcome.kind = WhispererFailed;
    if (answered && result.http_status == 410 && !result.outdated) {
        outcome.hook_gone = true;
        return outcome;
    }
    if (answered && !is_success && !result.outdated &&
        !plan.tries_again_after(result.http_status)) {
        outcome.given_up = true;
        return outcome;
    }
    if (const auto wait = plan.wait_after(retry_count + 1, clock)) {
        outcome.kind = WhispererRetry;
        const bool asks = answered && !result.outdated &&
                          (result.http_status == 429 || result.http_status == 503);
        if (asks && result.retry_after)
            outcome.asked_after = std::min(*result.retry_after, retry_after_max);
        outcome.next_after = std::max(*wait, outcome.asked_after);
    }
    return outcome;
}

}  // namespace whisperer::engine
