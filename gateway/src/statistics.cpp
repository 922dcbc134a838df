// The gateway's own counters; see statistics.h.
#include "statistics.h"

#include <algorithm>
#include <cstdio>

namespace whisperer::gateway {

namespace {

constexpr std::size_t classes = 6;  // of statuses; 1xx is never counted

std::string number_text(const char* format, double number) {
    char text[64];
    std::snprintf(text, sizeof text, format, number);
    return text;
}

}  // namespace

Statistics::Statistics(std::vector<std::string> labels)
    : labels_(std::move(labels)),
      requests_(std::make_unique<Counter[]>((labels_.size() + 1) * classes)) {
    labels_.emplace_back("method=\"\",route=\"\"");
}

void Statistics::count(std::size_t route, int status, std::chrono::steady_clock::duration took) {
    const auto status_class = static_cast<std::size_t>(std::clamp(status / 100, 0, 5));
    requests_[route * classes + status_class]++;
    const double seconds = std::chrono::duration<double>(took).count();
    const auto bound = std::lower_bound(bounds_s.begin(), bounds_s.end(), seconds);
    durations_[static_cast<std::size_t>(bound - bounds_s.begin())]++;
    duration_us_ += static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(took).count());
}

std::string Statistics::text() const {
    std::string text =
        "# HELP whisperer_gateway_requests_total Requests answered, by route and class of status.\n"
        "# TYPE whisperer_gateway_requests_total counter\n";
    for (std::size_t route = 0; route < labels_.size(); route++)
        for (std::size_t status_class = 2; status_class < classes; status_class++) {
            // One that is there from the start has a rate from its first request on.
            const std::uint64_t count = requests_[route * classes + status_class];
            if (count > 0 || status_class != 3)
                text += "whisperer_gateway_requests_total{" + labels_[route] + ",status=\"" +
                        std::to_string(status_class) + "xx\"} " + std::to_string(count) + "\n";
        }
    text +=
        "# HELP whisperer_gateway_request_duration_seconds From the last byte of a request to its "
        "answer.\n# TYPE whisperer_gateway_request_duration_seconds histogram\n";
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < durations_.size(); i++) {
        sum += durations_[i];
        text += "whisperer_gateway_request_duration_seconds_bucket{le=\"" +
                (i < bounds_s.size() ? number_text("%g", bounds_s[i]) : std::string("+Inf")) +
                "\"} " + std::to_string(sum) + "\n";
    }
    return text + "whisperer_gateway_request_duration_seconds_sum " +
           number_text("%.6f", static_cast<double>(duration_us_) / 1e6) +
           "\nwhisperer_gateway_request_duration_seconds_count " + std::to_string(sum) + "\n";
}

}  // namespace whisperer::gateway
