// What operators of a filter ask.  Each is asked on its own; of an array it holds if it holds of
// one element, and $ne and $nin hold where $eq and $in do not.
#include <algorithm>
#include <compare>
#include <vector>

#include "worker/base/json_matcher.h"
#include "worker/base/json_order.h"

namespace whisperer::engine {
namespace {

// Knuth, Morris and Pratt: a search that starts over for each character would cost what both
// lengths multiplied do.
bool has_part(std::string_view text, std::string_view part) {
    if (part.empty())
        return true;
    std::vector<std::size_t> kept(part.size(), 0);  // of what matched, what still does after it
    const auto next = [&](std::size_t matched, char c) {
        while (matched > 0 && part[matched] != c)
            matched = kept[matched - 1];
        return part[matched] == c ? matched + 1 : 0;
    };
    for (std::size_t i = 1; i < part.size(); ++i)
        kept[i] = next(kept[i - 1], part[i]);
    std::size_t matched = 0;
    return std::ranges::any_of(text, [&](char c) {
        matched = next(matched, c);
        return matched == part.size();
    });
}

bool is_met(JsonOperator op, std::strong_ordering order) {
    switch (op) {
        case JsonOperator::Gt:
            return order > 0;
        case JsonOperator::Gte:
            return order >= 0;
        case JsonOperator::Lt:
            return order < 0;
        default:
            return order <= 0;
    }
}

}  // namespace

bool JsonMatcher::all_hold(std::size_t place, const Node& group) {
    const auto operators = filter_.keys(group);
    for (std::size_t i = 0; i < operators.size(); ++i) {
        spend(1);
        if (!holds(operators[i].op, place, filter_.values(group)[i]))
            return false;
    }
    return true;
}

bool JsonMatcher::holds(JsonOperator op, std::size_t place, const Node& operand) {
    const auto of_place = [&](const Node& filter) {
        spend(1);
        return matches(place, filter);
    };
    switch (op) {
        case JsonOperator::Exists:
            return (place != missing) == (operand.kind == JsonKind::True);
        case JsonOperator::And:
            return std::ranges::all_of(filter_.elements(operand), of_place);
        case JsonOperator::Or:
            return std::ranges::any_of(filter_.elements(operand), of_place);
        case JsonOperator::Not:
            return !of_place(operand);
        case JsonOperator::Ne:
            return !any_value(JsonOperator::Eq, place, operand);
        case JsonOperator::Nin:
            return !any_value(JsonOperator::In, place, operand);
        default:
            return any_value(op, place, operand);
    }
}

// The value itself, or if it is an array one of its elements.
bool JsonMatcher::any_value(JsonOperator op, std::size_t place, const Node& operand) {
    if (place == missing)
        return false;
    if (value_is(op, place, operand))
        return true;
    data_.go_to(place);
    if (data_.peek() != JsonKind::Array)
        return false;
    data_.enter();
    while (data_.next_element()) {
        const std::size_t element = data_.position();
        data_.skip_value();
        const std::size_t behind = data_.position();
        spend(1);
        if (value_is(op, element, operand))
            return true;
        data_.go_to(behind);
    }
    return false;
}

bool JsonMatcher::value_is(JsonOperator op, std::size_t place, const Node& operand) {
    switch (op) {
        case JsonOperator::Eq:
            return equals(place, operand);
        case JsonOperator::In:
            return std::ranges::any_of(filter_.elements(operand), [&](const Node& literal) {
                spend(1);
                return equals(place, literal);
            });
        case JsonOperator::Prefix:
        case JsonOperator::Suffix:
        case JsonOperator::Regex:
            return text_has(op, place, operand);
        case JsonOperator::Contains:
            return operand.kind == JsonKind::String ? text_has(op, place, operand)
                                                    : contains(place, operand);
        default:
            return has_order(op, place, operand);
    }
}

bool JsonMatcher::equals(std::size_t place, const Node& literal) {
    data_.go_to(place);
    if (data_.peek() != literal.kind)
        return false;
    if (literal.kind == JsonKind::Object)
        return object_equals(literal);
    if (literal.kind == JsonKind::Array)
        return array_equals(literal);
    return same_scalar(data_.take_scalar(), literal);
}

bool JsonMatcher::array_equals(const Node& literal) {
    const auto elements = filter_.elements(literal);
    std::size_t count = 0;
    data_.enter();
    while (data_.next_element()) {
        const std::size_t element = data_.position();
        data_.skip_value();
        const std::size_t behind = data_.position();
        if (count == elements.size() || !equals(element, elements[count]))
            return false;
        ++count;
        data_.go_to(behind);
    }
    return count == elements.size();
}

bool JsonMatcher::object_equals(const Node& literal) {
    std::size_t others = 0;
    const auto places = places_of(filter_.keys(literal), others);
    if (others > 0)
        return false;
    for (std::size_t i = 0; i < places.size(); ++i)
        if (places[i] == missing || !equals(places[i], filter_.values(literal)[i]))
            return false;
    return true;
}

// Numbers by value, strings by the order of their code points, which is that of their bytes.
bool JsonMatcher::has_order(JsonOperator op, std::size_t place, const Node& operand) {
    data_.go_to(place);
    if (data_.peek() != operand.kind)
        return false;
    const std::string_view raw = data_.take_scalar();
    if (operand.kind == JsonKind::String)
        return is_met(op, std::string_view(decode_json_string(raw)) <=> filter_.bytes(operand));
    const JsonNumber number(raw);
    return is_met(op, number_order({number.negative, number.digits, number.exponent},
                                   {operand.negative, filter_.bytes(operand), operand.exponent}));
}

bool JsonMatcher::text_has(JsonOperator op, std::size_t place, const Node& operand) {
    data_.go_to(place);
    if (data_.peek() != JsonKind::String)
        return false;
    const std::string text = decode_json_string(data_.take_scalar());
    if (op == JsonOperator::Regex) {
        const JsonPattern& pattern = filter_.pattern(operand);
        spend(pattern.steps_for(text));
        return pattern.is_in(text);
    }
    const std::string_view part = filter_.bytes(operand);
    if (op == JsonOperator::Prefix)
        return text.starts_with(part);
    if (op == JsonOperator::Suffix)
        return text.ends_with(part);
    spend((text.size() + part.size()) / 64);
    return has_part(text, part);
}

}  // namespace whisperer::engine
