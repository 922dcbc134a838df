// Lines of JSON on standard error; see log.h.
#include "log.h"

#include <cstdio>
#include <ctime>

#include "json_text.h"
#include "log_writer.h"

namespace whisperer::gateway {

namespace {

std::string now_text() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    char text[64];
    const std::size_t used = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text + used, sizeof text - used, ".%03ldZ", now.tv_nsec / 1000000);
    return text;
}

std::string event_line(std::string_view event, std::string_view detail,
                       std::string_view request_id) {
    std::string line = "{\"time\": \"" + now_text() + "\", \"event\": " + json_string(event) +
                       ", \"detail\": " + json_string(detail);
    if (!request_id.empty())
        line += ", \"request_id\": " + json_string(request_id);
    return line + "}\n";
}

// Made by start_log.  It is not destroyed, for threads may log until the process ends.
LogWriter* writer = nullptr;

}  // namespace

void log_request(const Request& request, int status, std::string_view role,
                 std::chrono::steady_clock::duration took) {
    constexpr std::size_t shown_max = 300;
    char milliseconds[32];
    std::snprintf(milliseconds, sizeof milliseconds, "%.3f",
                  std::chrono::duration<double, std::milli>(took).count());
    writer->add("{\"time\": \"" + now_text() + "\", \"request_id\": " + json_string(request.id) +
                ", \"method\": " + json_string(request.method) +
                ", \"path\": " + json_string(std::string_view(request.path).substr(0, shown_max)) +
                ", \"status\": " + std::to_string(status) + ", \"duration_ms\": " + milliseconds +
                ", \"role\": " + (role.empty() ? "null" : json_string(role)) +
                ", \"address\": " + json_string(request.address) + "}\n");
}

void log_event(std::string_view event, std::string_view detail, std::string_view request_id) {
    writer->add(event_line(event, detail, request_id));
}

void start_log() {
    writer = new LogWriter(
        {[](std::size_t count) {
             return event_line("log lines dropped", std::to_string(count), {});
         },
         [](const std::string& text) { return event_line("standard error", text, {}); }});
}

bool end_log(std::chrono::milliseconds time) {
    return writer == nullptr || writer->end(time);
}

std::size_t log_lines_dropped() {
    return writer->dropped();
}

}  // namespace whisperer::gateway
