// Documents, and containment; what operators ask is in json_operators.cpp.
#include "worker/base/json_contains.h"

#include <algorithm>
#include <bit>

#include "worker/base/json_matcher.h"

namespace whisperer::engine {

// A bare value counts as an array of itself, on the filter's side only.
bool JsonMatcher::root_contains(const Node& wanted) {
    data_.go_to(root_place);
    const JsonKind kind = data_.peek();
    const bool is_container = wanted.kind == JsonKind::Object || wanted.kind == JsonKind::Array;
    if (kind == JsonKind::Object && wanted.kind == JsonKind::Object)
        return members_contain(wanted);
    if (kind == JsonKind::Array && !is_container)
        return array_contains(root_place, std::span(&wanted, 1));
    return contains(root_place, wanted);
}

bool JsonMatcher::contains(std::size_t place, const Node& wanted) {
    data_.go_to(place);
    if (data_.peek() != wanted.kind)
        return false;
    if (wanted.kind == JsonKind::Object)
        return object_contains(wanted);
    if (wanted.kind == JsonKind::Array)
        return array_contains(place, filter_.elements(wanted));
    return same_scalar(data_.take_scalar(), wanted);
}

bool JsonMatcher::same_scalar(std::string_view raw, const Node& wanted) const {
    if (wanted.kind == JsonKind::Number) {
        const JsonNumber number(raw);
        return number.negative == wanted.negative && number.exponent == wanted.exponent &&
               number.digits == filter_.bytes(wanted);
    }
    if (wanted.kind != JsonKind::String)
        return true;  // literals are their kind
    const std::string_view text = filter_.bytes(wanted);
    return raw.find('\\') == std::string_view::npos ? raw == text : decode_json_string(raw) == text;
}

bool JsonMatcher::members_contain(const Node& wanted) {
    const auto keys = filter_.keys(wanted);
    spend_on(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const std::string_view key = filter_.bytes(keys[i]);
        const auto found = std::ranges::lower_bound(document_.members_, key, {}, &Member::key);
        const bool is_there = found != document_.members_.end() && found->key == key;
        if (!matches(is_there ? found->place : missing, filter_.values(wanted)[i]))
            return false;
    }
    return true;
}

std::vector<std::size_t> JsonMatcher::places_of(std::span<const Node> keys, std::size_t& others) {
    spend_on(keys.size());
    std::vector<std::size_t> places(keys.size(), missing);
    std::string decoded;
    std::string_view key;
    data_.enter();
    while (data_.next_member(key)) {
        if (key.find('\\') != std::string_view::npos) {
            decoded = decode_json_string(key);
            key = decoded;
        }
        const auto found = std::ranges::lower_bound(
            keys, key, {}, [&](const Node& node) { return filter_.bytes(node); });
        if (found != keys.end() && filter_.bytes(*found) == key)  // the last of equal keys wins
            places[static_cast<std::size_t>(found - keys.begin())] = data_.position();
        else
            ++others;
        data_.skip_value();
    }
    return places;
}

bool JsonMatcher::object_contains(const Node& wanted) {
    std::size_t others = 0;
    const auto places = places_of(filter_.keys(wanted), others);
    for (std::size_t i = 0; i < places.size(); ++i)
        if (!matches(places[i], filter_.values(wanted)[i]))
            return false;
    return true;
}

bool JsonMatcher::array_contains(std::size_t place, std::span<const Node> elements) {
    spend_on(elements.size());
    std::vector<const Node*> wanted;
    wanted.reserve(elements.size());
    for (const Node& element : elements)
        wanted.push_back(&element);
    data_.go_to(place);
    data_.enter();
    while (!wanted.empty() && data_.next_element()) {
        const std::size_t element = data_.position();
        data_.skip_value();
        const std::size_t behind = data_.position();
        std::erase_if(wanted, [&](const Node* value) {
            spend(1);
            return matches(element, *value);
        });
        data_.go_to(behind);
    }
    return wanted.empty();
}

JsonDocument::JsonDocument(std::string_view text, std::int64_t step_max) : text_(text) {
    std::int64_t steps = step_max;
    try {
        JsonScanner::validate(text, steps);
        if (JsonScanner(text, steps).peek() == JsonKind::Object)
            read_members(steps);
        steps_left_ = steps;
    } catch (const JsonGaveUp&) {
        members_.clear();
    }
}

void JsonDocument::read_members(std::int64_t& steps) {
    JsonScanner scanner(text_, steps);
    std::string_view key;
    scanner.enter();
    while (scanner.next_member(key)) {
        if (key.find('\\') != std::string_view::npos)
            key = decoded_.emplace_back(decode_json_string(key));
        members_.push_back({key, scanner.position()});
        scanner.skip_value();
    }
    // Sorting costs what it costs: a step for eight comparisons.
    steps -= static_cast<std::int64_t>(members_.size() * std::bit_width(members_.size()) / 8);
    if (steps < 0)
        throw JsonGaveUp{};
    // The last of equal keys wins: it is the first of them from behind.
    std::ranges::reverse(members_);
    std::ranges::stable_sort(members_, {}, &Member::key);
    // std::ranges::unique does not compile with the clang of the fuzz targets.
    const auto same_key = [](const Member& one, const Member& other) {
        return one.key == other.key;
    };
    members_.erase(std::unique(members_.begin(), members_.end(), same_key), members_.end());
}

int JsonDocument::matches(const JsonFilter& filter) const {
    if (steps_left_ < 0)
        return -1;
    std::int64_t steps = steps_left_;
    try {
        return JsonMatcher(*this, filter, steps).matches_root() ? 1 : 0;
    } catch (const JsonGaveUp&) {
        return -1;
    }
}

int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max) {
    const auto wanted = JsonFilter::parse(filter, step_max);
    return wanted ? JsonDocument(data, step_max).matches(*wanted) : -1;
}

int json_matches(std::string_view data, std::string_view filter, std::int64_t step_max) {
    const auto wanted = JsonFilter::read_stored(filter, step_max);
    return wanted ? JsonDocument(data, step_max).matches(*wanted) : -1;
}

}  // namespace whisperer::engine
