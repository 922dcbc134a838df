// See the header.
#include "worker/base/json_order.h"

#include <algorithm>

namespace whisperer::engine {
namespace {

std::strong_ordering size_order(const DecimalNumber& one, const DecimalNumber& other) {
    if (one.digits.empty() || other.digits.empty())
        return other.digits.empty() <=> one.digits.empty();
    const auto top = [](const DecimalNumber& number) {
        return number.exponent + static_cast<std::int64_t>(number.digits.size());
    };
    const auto by_size = top(one) <=> top(other);
    return by_size != std::strong_ordering::equal ? by_size : one.digits <=> other.digits;
}

// Of factors that are below the divisor.
std::uint64_t product_modulo(std::uint64_t one, std::uint64_t other, std::uint64_t divisor) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(Wide{one} * other % divisor);
}

std::uint64_t power_of_ten_modulo(std::int64_t exponent, std::uint64_t divisor) {
    std::uint64_t result = 1 % divisor;
    for (std::uint64_t base = 10 % divisor; exponent > 0; exponent /= 2) {
        if (exponent % 2 == 1)
            result = product_modulo(result, base, divisor);
        base = product_modulo(base, base, divisor);
    }
    return result;
}

std::strong_ordering list_order(const JsonFilter& one_of,
                                std::span<const JsonFilter::Node> one_values,
                                const JsonFilter& other_of,
                                std::span<const JsonFilter::Node> other_values,
                                std::int64_t& steps) {
    auto order = one_values.size() <=> other_values.size();
    for (std::size_t i = 0; order == 0 && i < one_values.size(); ++i)
        order = value_order({one_of, one_values[i]}, {other_of, other_values[i]}, steps);
    return order;
}

}  // namespace

std::strong_ordering number_order(const DecimalNumber& one, const DecimalNumber& other) {
    if (one.negative != other.negative)
        return other.negative <=> one.negative;
    return one.negative ? size_order(other, one) : size_order(one, other);
}

bool is_multiple(const DecimalNumber& number, const DecimalNumber& divisor) {
    if (number.digits.empty())
        return true;
    // Then ten divides what is left of the divisor, but not the digits, which do not end in zero.
    if (number.exponent < divisor.exponent)
        return false;
    const auto value = [](std::uint64_t sum, char c) {
        return sum * 10 + static_cast<std::uint64_t>(c - '0');
    };
    std::uint64_t modulus = 0, rest = 0;
    for (char c : divisor.digits)
        modulus = value(modulus, c);
    for (char c : number.digits)
        rest = value(rest, c) % modulus;
    return product_modulo(rest, power_of_ten_modulo(number.exponent - divisor.exponent, modulus),
                          modulus) == 0;
}

DecimalNumber number_of(const JsonValue& value) {
    return {value.node.negative, value.of.bytes(value.node), value.node.exponent};
}

std::strong_ordering value_order(const JsonValue& one, const JsonValue& other,
                                 std::int64_t& steps) {
    if (--steps < 0)
        throw JsonGaveUp{};
    if (one.node.kind != other.node.kind)
        return one.node.kind <=> other.node.kind;
    switch (one.node.kind) {
        case JsonKind::Number:
        case JsonKind::String:
            steps -= std::min(one.node.count, other.node.count) / 64;
            return one.node.kind == JsonKind::Number
                       ? number_order(number_of(one), number_of(other))
                       : one.of.bytes(one.node) <=> other.of.bytes(other.node);
        case JsonKind::Array:
            return list_order(one.of, one.of.elements(one.node), other.of,
                              other.of.elements(other.node), steps);
        case JsonKind::Object: {
            const auto by_keys = list_order(one.of, one.of.keys(one.node), other.of,
                                            other.of.keys(other.node), steps);
            return by_keys != 0 ? by_keys
                                : list_order(one.of, one.of.values(one.node), other.of,
                                             other.of.values(other.node), steps);
        }
        default:
            return std::strong_ordering::equal;  // literals are their kind
    }
}

}  // namespace whisperer::engine
