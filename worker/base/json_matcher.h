// One question: does a filter let a document through?  Made by JsonDocument for each.
//
// The data is walked in place, once per level of the filter, but for an object at the top, whose
// members are looked up.  Recursion follows the filter, so its depth is the filter's.  All that may
// grow with data and filter spends steps; without any left JsonGaveUp is thrown.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "worker/base/json_contains.h"

namespace whisperer::engine {

class JsonMatcher {
  public:
    JsonMatcher(const JsonDocument& document, const JsonFilter& filter, std::int64_t& steps)
        : document_(document), filter_(filter), data_(document.text_, steps), steps_(&steps) {}

    bool matches_root() { return matches(root_place, filter_.root()); }

  private:
    using Member = JsonDocument::Member;
    using Node = JsonFilter::Node;

    // Of a value in the text.  Nothing but the root begins at its start, spaces included.
    static constexpr std::size_t root_place = 0;
    static constexpr std::size_t missing = static_cast<std::size_t>(-1);

    void spend(std::size_t steps) {
        *steps_ -= static_cast<std::int64_t>(steps);
        if (*steps_ < 0)
            throw JsonGaveUp{};
    }
    // What is prepared for each container of the data is as large as the filter's side of it.
    void spend_on(std::size_t values) { spend(values / 8); }

    bool matches(std::size_t place, const Node& wanted) {
        if (wanted.op == JsonOperator::Group)
            return all_hold(place, wanted);
        if (place == root_place)
            return root_contains(wanted);
        return place != missing && contains(place, wanted);
    }

    // json_contains.cpp
    bool root_contains(const Node& wanted);
    bool contains(std::size_t place, const Node& wanted);
    bool members_contain(const Node& wanted);
    bool object_contains(const Node& wanted);
    bool array_contains(std::size_t place, std::span<const Node> elements);
    bool same_scalar(std::string_view raw, const Node& wanted) const;
    // Where the values of an object's members are; others: how many more it has, repeated ones too.
    std::vector<std::size_t> places_of(std::span<const Node> keys, std::size_t& others);

    // json_operators.cpp
    bool all_hold(std::size_t place, const Node& group);
    bool holds(JsonOperator op, std::size_t place, const Node& operand);
    bool any_value(JsonOperator op, std::size_t place, const Node& operand);
    bool value_is(JsonOperator op, std::size_t place, const Node& operand);
    bool equals(std::size_t place, const Node& literal);
    bool array_equals(const Node& literal);
    bool object_equals(const Node& literal);
    bool has_order(JsonOperator op, std::size_t place, const Node& operand);
    bool text_has(JsonOperator op, std::size_t place, const Node& operand);

    const JsonDocument& document_;
    const JsonFilter& filter_;
    JsonScanner data_;
    std::int64_t* steps_;
};

}  // namespace whisperer::engine
