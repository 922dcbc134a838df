// Filters on JSON texts: jsonb's  data @> filter  and operators, so that a hook's filter needs no
// database.
//
// PostgreSQL's own containment was not an option: it took seconds for a filter of 7 kB, and one
// legal event (\u0000, 1e200000) raises in jsonb and would stop a page.  A thousand hooks may
// filter one event, so each side is read once: a filter when its hook is loaded (json_filter.h),
// the data when the first filter asks.  Used through the door (filter.cpp).
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "worker/base/json_filter.h"

namespace whisperer::engine {

// The data of one event.  Borrows the text.
class JsonDocument {
  public:
    JsonDocument(std::string_view text, std::int64_t step_max);

    // 1: the filter lets it through, 0: does not, -1: the data is not JSON, or what reading it left
    // of step_max did not suffice.
    int matches(const JsonFilter& filter) const;

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

// Both at once, for a single question: containment alone, and a hook's filter.
int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max);
int json_matches(std::string_view data, std::string_view filter, std::int64_t step_max);

}  // namespace whisperer::engine
