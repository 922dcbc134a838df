// Seconds by hand, dates by libcurl.
#include "worker/wire/retry_after.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

namespace whisperer::engine {

std::optional<seconds> parse_retry_after(const std::string& value, std::time_t now) {
    const bool is_number = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
        return c >= '0' && c <= '9';
    });
    long long wait_s = 0;
    if (is_number) {
        const auto read = std::from_chars(value.data(), value.data() + value.size(), wait_s);
        if (read.ec != std::errc())  // more digits than fit
            wait_s = retry_after_read_max.count();
    } else {
        const std::time_t date = curl_getdate(value.c_str(), nullptr);
        wait_s = date < 0 ? 0 : static_cast<long long>(date - now);
    }
    if (wait_s <= 0)
        return std::nullopt;
    return std::min(seconds(wait_s), retry_after_read_max);
}

}  // namespace whisperer::engine
