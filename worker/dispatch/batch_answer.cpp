// See batch_answer.h.
#include "worker/dispatch/batch_answer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

#include "worker/base/encoding.h"
#include "worker/base/json_scanner.h"
#include "worker/rules/settings.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
// Cleaning the answer may have made it longer than what is kept, by as much as a character.
constexpr std::size_t cleaned_bytes_max = response_body_bytes_max - 3;
constexpr const char* named_text = "the answer to its batch names it in \"failed\"";
constexpr const char* unclear_text =
    "the answer to its batch has a \"failed\" that is not a list of ids of its events";
constexpr const char* unread_text =
    "the answer to its batch may name it in \"failed\", but is cut off or no JSON";

struct Named {
    bool is_said = false;  // there is such a key
    bool is_clear = true;  // and it is a list of texts
    bool is_read = true;   // or there may be one, but the answer cannot be read to its end
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

// Of what cannot be read to its end: a receiver that says of some that they failed has not taken
// them, so what may be such an answer is not taken for a delivery.
bool may_name(std::string_view response, bool is_cut) {
    const std::size_t begin = response.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos)
        return is_cut;
    return response[begin] == '{' &&
           (is_cut || response.find("\"failed\"") != std::string_view::npos);
}

Named read_failed(const WireResult& result) {
    Named named;
    std::string_view response = result.response;
    if (response.starts_with(byte_order_mark))
        response.remove_prefix(byte_order_mark.size());
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
        named.is_said =
            may_name(response, result.is_cut || result.response.size() > cleaned_bytes_max);
        named.is_read = false;
    }
    return named;
}

}  // namespace

std::vector<std::string> failures_named_in(const WireResult& result, const Members& members) {
    std::vector<std::string> failures(members.size());
    if (result.end != WireEnd::Answered || (result.http_status != 200 && result.http_status != 207))
        return failures;
    const Named named = read_failed(result);
    if (!named.is_said)
        return failures;
    bool is_clear = named.is_clear && named.is_read;
    for (std::size_t i = 0; is_clear && i < named.ids.size(); ++i) {
        const auto member =
            std::lower_bound(members.begin(), members.end(), named.ids[i],
                             [](const auto& one, const std::string& id) { return one->id() < id; });
        is_clear = member != members.end() && (*member)->id() == named.ids[i];
        if (is_clear)
            failures[static_cast<std::size_t>(member - members.begin())] = named_text;
    }
    if (!is_clear)
        std::fill(failures.begin(), failures.end(), named.is_read ? unclear_text : unread_text);
    return failures;
}

bool may_be_about_one(int http_status) {
    return http_status / 100 == 4 && http_status != 408 && http_status != 425 && http_status != 429;
}

}  // namespace whisperer::engine
