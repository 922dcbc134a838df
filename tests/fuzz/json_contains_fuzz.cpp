// Filters on JSON texts.  The input is data, a byte 0xFF, and the filter; without that byte the
// text is both.
#include "worker/base/json_contains.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/property.h"
#include "worker/base/json_scanner.h"
#include "worker/engine.h"

using namespace whisperer::engine;

namespace {

constexpr std::int64_t plenty = 10'000'000;

bool is_json(std::string_view text) {
    std::int64_t steps = plenty;
    try {
        JsonScanner::validate(text, steps);
        return true;
    } catch (const JsonGaveUp&) {
        return false;
    }
}

// Of containers in each other; more than there are when brackets stand in strings.
int depth_of(std::string_view text) {
    int depth = 0;
    int deepest = 0;
    for (char c : text) {
        depth += c == '[' || c == '{' ? 1 : 0;
        depth -= (c == ']' || c == '}') && depth > 0 ? 1 : 0;
        deepest = std::max(deepest, depth);
    }
    return deepest;
}

std::string around(std::string_view before, std::string_view text, std::string_view behind) {
    return std::string(before).append(text).append(behind);
}

// The filter as it is read when it is stored: operators, or containment.
void check_operators(std::string_view data, std::string_view filter) {
    const int result = json_matches(data, filter, plenty);
    HOLDS(result >= -1 && result <= 1);
    for (std::int64_t steps : {0, 1, 10, 100, 1000}) {
        const int hasty = json_matches(data, filter, steps);
        HOLDS(hasty == result || hasty == -1);
    }
    WhispererError error = {};
    const WhispererSpan span = {filter.data(), filter.size()};
    const auto code = whisperer_check_filter(span, plenty, &error);
    HOLDS(code == WhispererOk || (code == WhispererInvalid && error.message[0] != '\0'));
    if (!is_json(data) || !is_json(filter) || depth_of(filter) > filter_depth_max - 3)
        return;
    // What is refused when it is written is containment when it is stored, but for a pattern.
    const bool is_pattern = std::string_view(error.message).starts_with("pattern");
    HOLDS(code == WhispererOk || result == (is_pattern ? -1 : json_contains(data, filter, plenty)));
    if (code == WhispererOk) {
        HOLDS(json_matches(data, around("{\"$not\":", filter, "}"), plenty) == 1 - result);
        HOLDS(json_matches(data, around("{\"$and\":[", filter, "]}"), plenty) == result);
        HOLDS(json_matches(data, around("{\"$or\":[{\"$in\":[]},", filter, "]}"), plenty) ==
              result);
    }
    const int equal = json_matches(data, around("{\"$eq\":", filter, "}"), plenty);
    HOLDS(json_matches(data, around("{\"$in\":[", filter, "]}"), plenty) == equal);
    HOLDS(json_matches(data, around("{\"$ne\":", filter, "}"), plenty) == 1 - equal);
    HOLDS(json_matches(data, around("{\"$nin\":[", filter, "]}"), plenty) == 1 - equal);
    if (depth_of(data) < filter_depth_max)
        HOLDS(json_matches(data, around("{\"$eq\":", data, "}"), plenty) == 1);
    if (filter.find_first_of("{[") == filter.find_first_not_of(" \t\r\n") &&
        json_contains(data, filter, plenty) == 1)
        HOLDS(json_matches(data, around("{\"$contains\":", filter, "}"), plenty) == 1);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view input = text_of(bytes, size);
    const std::size_t middle = std::min(input.find('\xFF'), input.size());
    const std::string_view data = input.substr(0, middle);
    const std::string_view filter = middle < size ? input.substr(middle + 1) : data;
    const int result = json_contains(data, filter, plenty);
    HOLDS(result >= -1 && result <= 1);
    HOLDS(result == -1 || (is_json(data) && is_json(filter)));
    // Whatever a strict parser takes is JSON to us, too.  It steps over a byte order mark, and a
    // NUL ends its input.
    const bool plain = !data.starts_with("\xEF") && data.find('\0') == std::string_view::npos;
    HOLDS(is_json(data) || !plain || !nlohmann::json::accept(data));
    for (std::string_view text : {data, filter})
        if (is_json(text) && depth_of(text) <= filter_depth_max)
            HOLDS(json_contains(text, text, plenty) == 1);
    // A document that has answered others answers the same.
    const JsonDocument document(data, plenty);
    const auto itself = JsonFilter::parse(data, plenty);
    const auto wanted = JsonFilter::parse(filter, plenty);
    HOLDS(!itself || document.matches(*itself) == 1);
    HOLDS(!wanted || document.matches(*wanted) == result);
    // Fewer steps: the same answer or none.
    for (std::int64_t steps : {0, 1, 10, 100, 1000}) {
        const int hasty = json_contains(data, filter, steps);
        HOLDS(hasty == result || hasty == -1);
    }
    check_operators(data, filter);
    if (result == 1 && is_json(data)) {
        HOLDS(json_contains('[' + std::string(data) + ']', '[' + std::string(filter) + ']',
                            plenty) == 1 ||
              depth_of(filter) >= filter_depth_max || filter.find_first_of("[{") != 0);
    }
    return 0;
}
