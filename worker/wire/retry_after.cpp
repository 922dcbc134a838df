// Seconds by hand, dates by libcurl.
#include "worker/wire/retry_after.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace whisperer::engine {
namespace {

// A larger number is no wait but a moment: 2001-09-09, or, in milliseconds, 1973-03-03.
constexpr long long wait_max_s = 1'000'000'000;
constexpr long long moment_max_s = 100'000'000'000;
constexpr long long year_s = 366LL * 24 * 3600;

std::string_view trimmed(std::string_view text) {
    const std::size_t first = std::min(text.find_first_not_of(" \t"), text.size());
    return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

// Calls do_part for each part between separators that do not stand in quotes.
template <typename Do>
void for_each_part(std::string_view text, char separator, Do do_part) {
    bool quoted = false;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && text[i] == '"')
            quoted = !quoted;
        if (i == text.size() || (text[i] == separator && !quoted)) {
            do_part(trimmed(text.substr(begin, i - begin)));
            begin = i + 1;
        }
    }
}

bool is_digits(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Digits, and perhaps a fraction, which is rounded up.
std::optional<long long> number_of(std::string_view text) {
    const std::size_t point = std::min(text.find('.'), text.size());
    const std::string_view whole = text.substr(0, point);
    const std::string_view fraction = text.substr(std::min(point + 1, text.size()));
    if (!is_digits(whole) || (point < text.size() && !is_digits(fraction)))
        return std::nullopt;
    long long number = 0;
    if (std::from_chars(whole.data(), whole.data() + whole.size(), number).ec != std::errc())
        return std::nullopt;  // more digits than fit are a mistake, not a day
    const bool rounds_up = fraction.find_first_not_of('0') != std::string_view::npos;
    return number < wait_max_s && rounds_up ? number + 1 : number;
}

// "2026-10-14T17:47:40.5+02:00", which curl_getdate does not read.
std::optional<std::time_t> iso_moment(const std::string& text) {
    std::tm fields{};
    const char* at = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &fields);
    if (at == nullptr)
        return std::nullopt;
    std::string_view rest(at);
    if (rest.starts_with('.'))
        rest.remove_prefix(std::min(rest.find_first_not_of("0123456789", 1), rest.size()));
    const std::time_t moment = timegm(&fields);
    if (rest == "Z" || rest == "z")
        return moment;
    const bool is_offset = rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') &&
                           is_digits(rest.substr(1, 2)) && rest[3] == ':' &&
                           is_digits(rest.substr(4));
    if (!is_offset)
        return std::nullopt;
    const auto number = [&](std::size_t place) {
        return 10 * (rest[place] - '0') + (rest[place + 1] - '0');
    };
    const std::time_t offset = 3600 * number(1) + 60 * number(4);
    return rest[0] == '+' ? moment - offset : moment + offset;
}

std::optional<seconds> wait_of(long long number, std::time_t now) {
    if (number >= wait_max_s) {
        const long long moment = number >= moment_max_s ? number / 1000 : number;
        number = moment - static_cast<long long>(now);
        if (number > year_s)
            return std::nullopt;
    }
    return number > 0 ? std::optional(seconds(number)) : std::nullopt;
}

void keep_longest(std::optional<seconds>& longest, std::optional<seconds> wait) {
    if (wait && (!longest || *wait > *longest))
        longest = wait;
}

std::optional<seconds> longest_of(const std::vector<std::string>& lines, std::time_t now) {
    std::optional<seconds> longest;
    for (const std::string& line : lines)
        keep_longest(longest, parse_retry_after(line, now));
    return longest;
}

// Of "name=value" the value, if that is the name.
std::optional<long long> value_of(std::string_view member, std::string_view name) {
    if (!member.starts_with(name) || !member.substr(name.size()).starts_with('='))
        return std::nullopt;
    return number_of(member.substr(name.size() + 1));
}

// "default";r=0;t=30, "daily";r=0;t=3600 - or, as older drafts had it, limit=9, remaining=0,
// reset=30.
std::optional<seconds> wait_of_policies(std::string_view line, std::time_t now) {
    std::optional<seconds> longest;
    std::optional<long long> remaining;
    std::optional<long long> reset;
    for_each_part(line, ',', [&](std::string_view item) {
        std::optional<long long> left;
        std::optional<long long> until;
        for_each_part(item, ';', [&](std::string_view member) {
            left = left ? left : value_of(member, "r");
            until = until ? until : value_of(member, "t");
            remaining = remaining ? remaining : value_of(member, "remaining");
            reset = reset ? reset : value_of(member, "reset");
        });
        if (until && left.value_or(0) == 0)
            keep_longest(longest, wait_of(*until, now));
    });
    if (reset && remaining.value_or(0) == 0)
        keep_longest(longest, wait_of(*reset, now));
    return longest;
}

bool something_is_left(const std::vector<std::string>& lines) {
    return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
        const std::string_view first = std::string_view(line).substr(0, line.find_first_of(",;"));
        return number_of(trimmed(first)).value_or(0) > 0;
    });
}

}  // namespace

std::optional<seconds> parse_retry_after(const std::string& value, std::time_t now) {
    std::optional<seconds> longest;
    bool are_numbers = true;
    for_each_part(value, ',', [&](std::string_view part) {
        const std::optional<long long> number = number_of(part);
        are_numbers = are_numbers && number.has_value();
        if (are_numbers)
            keep_longest(longest, wait_of(*number, now));
    });
    if (are_numbers)
        return longest ? std::min(*longest, retry_after_read_max) : longest;
    const std::time_t date =
        iso_moment(std::string(trimmed(value))).value_or(curl_getdate(value.c_str(), nullptr));
    if (date < 0 || date <= now)
        return std::nullopt;
    return std::min(seconds(date - now), retry_after_read_max);
}

std::optional<seconds> asked_wait(const FieldLines& lines, std::time_t now) {
    const std::vector<std::string> retry_after = lines("Retry-After");
    if (!retry_after.empty())
        return longest_of(retry_after, now);
    std::optional<seconds> longest;
    for (const std::string& line : lines("RateLimit"))
        keep_longest(longest, wait_of_policies(line, now));
    struct Kind {
        const char* reset;
        const char* remaining;
    };
    for (const Kind& kind : {Kind{"RateLimit-Reset", "RateLimit-Remaining"},
                             Kind{"X-RateLimit-Reset", "X-RateLimit-Remaining"},
                             Kind{"X-RateLimit-Reset-After", "X-RateLimit-Remaining"},
                             Kind{"X-Rate-Limit-Reset", "X-Rate-Limit-Remaining"}}) {
        if (longest)
            break;
        if (!something_is_left(lines(kind.remaining)))
            longest = longest_of(lines(kind.reset), now);
    }
    return longest;
}

}  // namespace whisperer::engine
