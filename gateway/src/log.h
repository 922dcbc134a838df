// Lines of JSON on standard error: one for each request, one for each thing that an operator must
// know.  No secret, no query string, no payload; whatever a client sent is escaped.  Thread-safe.
//
// Who logs never waits: lines go into a bounded queue, and a thread writes them.  While they are
// not taken, further ones are dropped and counted.  What libraries print on standard error becomes
// a line, too.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "http.h"

namespace whisperer::gateway {

// To be called once, before the first line.
void start_log();
// Waits until all lines are written, so long at most.  False: some are not; then the process must
// end without waiting for its threads.
bool end_log(std::chrono::milliseconds time);
std::size_t log_lines_dropped();

void log_request(const Request& request, int status, std::string_view role,
                 std::chrono::steady_clock::duration took);

// What happened, and more of it; request_id: of the request that it happened to.
void log_event(std::string_view event, std::string_view detail, std::string_view request_id = {});

}  // namespace whisperer::gateway
