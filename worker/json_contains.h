// jsonb's  data @> filter  on JSON texts, so that a hook's filter needs no database.
//
// PostgreSQL's own containment was not an option: it took seconds for a filter of 7 kB, and one
// legal event (\u0000, 1e200000) raises in jsonb and would stop a page.  Called through the door
// for every event and filtering hook.
#pragma once
#include <cstdint>
#include <string_view>

namespace whisperer::engine {

// Deeper filters are refused (-1); data may be of any depth.
inline constexpr int filter_depth_max = 64;

// 1: contains, 0: does not, -1: one of them is not JSON, or step_max did not suffice.
int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max);

}  // namespace whisperer::engine
