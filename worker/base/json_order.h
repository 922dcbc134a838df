// Which of two JSON values comes first, and whether they are equal, whatever the size of their
// numbers and however deep they are.
#pragma once
#include <compare>
#include <cstdint>
#include <string_view>

#include "worker/base/json_filter.h"

namespace whisperer::engine {

// Digits without zeros at either end, times 10^exponent; none: zero.
struct DecimalNumber {
    bool negative = false;
    std::string_view digits;
    std::int64_t exponent = 0;
};

std::strong_ordering number_order(const DecimalNumber& one, const DecimalNumber& other);

// Whether it is a whole number of times the divisor, which has 1 to divisor_digits_max digits.
inline constexpr std::size_t divisor_digits_max = 18;
bool is_multiple(const DecimalNumber& number, const DecimalNumber& divisor);

// A value and the text that it is of.
struct JsonValue {
    const JsonFilter& of;
    const JsonFilter::Node& node;
};

DecimalNumber number_of(const JsonValue& value);

// Numbers by value, strings by their bytes; of others any order, but always the same.  Throws
// JsonGaveUp when the steps do not suffice.
std::strong_ordering value_order(const JsonValue& one, const JsonValue& other, std::int64_t& steps);

}  // namespace whisperer::engine
