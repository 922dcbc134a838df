// jsonb's  data @> filter  on JSON texts, so that a hook's filter needs no database.
//
// PostgreSQL's own containment was not an option: it took seconds for a filter of 7 kB, and one
// legal event (\u0000, 1e200000) raises in jsonb and would stop a page.  A thousand hooks may
// filter one event, so each side is read once: a filter when its hook is loaded, the data when the
// first filter asks.  Used through the door (filter.cpp).
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/base/json_scanner.h"

namespace whisperer::engine {

// Deeper filters are refused; data may be of any depth.
inline constexpr int filter_depth_max = 64;

// One value of a filter.  Bounded: filters are small and no deeper than filter_depth_max.
struct JsonFilter {
    // Empty: not JSON, too deep, or step_max did not suffice.
    static std::optional<JsonFilter> parse(std::string_view text, std::int64_t step_max);

    JsonKind kind = JsonKind::Null;
    std::string text;                // String: decoded
    JsonNumber number;               // Number: worked out once, however often it is compared
    std::vector<std::string> keys;   // Object: sorted, each once; values beside them
    std::vector<JsonFilter> values;  // Object, Array
};

// The data of one event.  Borrows the text.
class JsonDocument {
  public:
    JsonDocument(std::string_view text, std::int64_t step_max);

    // 1: contains, 0: does not, -1: the data is not JSON, or what reading it left of step_max did
    // not suffice.
    int contains(const JsonFilter& filter) const;

  private:
    friend class JsonMatcher;
    struct Member {
        std::string_view key;
        std::size_t place;
    };

    void read_members(std::int64_t& steps);

    std::string_view text_;
    std::int64_t steps_left_ = -1;
    std::vector<Member> members_;      // of an object, those at the top: sorted, each once
    std::deque<std::string> decoded_;  // keys that were written with escapes
};

// Both at once, for a single question.
int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max);

}  // namespace whisperer::engine
