// Lines of JSON on standard error: one for each request, one for each thing that an operator must
// know.  No secret, no query string, no payload; whatever a client sent is escaped.  Thread-safe: a
// line is one write.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "http.h"

namespace whisperer::gateway {

void log_request(const Request& request, const Answer& answer, std::string_view role,
                 std::chrono::steady_clock::duration took);

// What happened, and more of it; request_id: of the request that it happened to.
void log_event(std::string_view event, std::string_view detail, std::string_view request_id = {});

}  // namespace whisperer::gateway
