// See batch_answer.h.
#include "worker/dispatch/batch_answer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

#include "worker/base/encoding.h"
#include "worker/base/json_scanner.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view begin_text = "{\"failed\"";
constexpr const char* named_text = "the answer to its batch names it in \"failed\"";
constexpr const char* unclear_text =
    "the answer to its batch has a \"failed\" that is not a list of ids of its events";

struct Named {
    bool is_said = false;  // there is such a key
    bool is_clear = true;  // and it is a list of texts
    std::vector<std::string> ids;
};

// 32 hex digits, as events have it, with or without dashes.
std::string plain_id(std::string_view raw) {
    std::string id = to_lower(decode_json_string(raw));
    std::erase(id, '-');
    return id;
}

void read_ids(JsonScanner& scanner, Named& named) {
    named.is_said = true;
    if (scanner.peek() != JsonKind::Array) {
        named.is_clear = false;
        scanner.skip_value();
        return;
    }
    scanner.enter();
    while (scanner.next_element()) {
        if (scanner.peek() == JsonKind::String) {
            named.ids.push_back(plain_id(scanner.take_scalar()));
        } else {
            named.is_clear = false;
            scanner.skip_value();
        }
    }
}

// Of what is no JSON, perhaps because it was cut off.
bool begins_to_name(std::string_view response) {
    std::string begin;
    for (std::size_t at = 0; at < response.size() && begin.size() < begin_text.size(); ++at)
        if (std::string_view(" \t\r\n").find(response[at]) == std::string_view::npos)
            begin += response[at];
    return begin == begin_text;
}

Named read_failed(std::string_view response) {
    Named named;
    std::int64_t steps = std::numeric_limits<std::int64_t>::max();
    try {
        JsonScanner::validate(response, steps);
        JsonScanner scanner(response, steps);
        if (scanner.peek() != JsonKind::Object)
            return named;
        scanner.enter();
        std::string_view key;
        while (scanner.next_member(key)) {
            if (decode_json_string(key) == "failed" && scanner.peek() != JsonKind::Null)
                read_ids(scanner, named);
            else
                scanner.skip_value();
        }
    } catch (const JsonGaveUp&) {
        named.is_said = begins_to_name(response);
        named.is_clear = false;
    }
    return named;
}

}  // namespace

std::vector<std::string> failures_named_in(const WireResult& result, const Members& members) {
    std::vector<std::string> failures(members.size());
    if (result.end != WireEnd::Answered || (result.http_status != 200 && result.http_status != 207))
        return failures;
    const Named named = read_failed(result.response);
    if (!named.is_said)
        return failures;
    bool is_clear = named.is_clear;
    for (std::size_t i = 0; is_clear && i < named.ids.size(); ++i) {
        const auto member =
            std::lower_bound(members.begin(), members.end(), named.ids[i],
                             [](const auto& one, const std::string& id) { return one->id() < id; });
        is_clear = member != members.end() && (*member)->id() == named.ids[i];
        if (is_clear)
            failures[static_cast<std::size_t>(member - members.begin())] = named_text;
    }
    if (!is_clear)
        std::fill(failures.begin(), failures.end(), unclear_text);
    return failures;
}

bool may_be_about_one(int http_status) {
    return http_status / 100 == 4 && http_status != 408 && http_status != 425 && http_status != 429;
}

}  // namespace whisperer::engine
