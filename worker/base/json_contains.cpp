// The filter becomes a small tree; the data is walked in place, once per level of the filter, but
// for an object at the top, whose members are looked up.
#include "worker/base/json_contains.h"

#include <algorithm>
#include <bit>

namespace whisperer::engine {
namespace {

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

}  // namespace

class JsonMatcher {
  public:
    JsonMatcher(const JsonDocument& document, std::int64_t& steps)
        : document_(document), data_(document.text_, steps), steps_(&steps) {}

    bool root_contains(const JsonFilter& filter) {
        const JsonKind kind = data_.peek();
        if (kind == JsonKind::Object && filter.kind == JsonKind::Object)
            return members_contain(filter);
        // A bare value counts as an array of itself, on the filter's side only.
        if (kind == JsonKind::Array && !is_container(filter.kind)) {
            JsonFilter wrapped;
            wrapped.kind = JsonKind::Array;
            wrapped.values.push_back(filter);
            return contains(0, wrapped);
        }
        return contains(0, filter);
    }

  private:
    using Member = JsonDocument::Member;

    static bool is_container(JsonKind kind) {
        return kind == JsonKind::Object || kind == JsonKind::Array;
    }

    // Recursion follows the filter, so its depth is the filter's.
    bool contains(std::size_t position, const JsonFilter& filter) {
        data_.go_to(position);
        if (data_.peek() != filter.kind)
            return false;
        if (filter.kind == JsonKind::Object)
            return object_contains(filter);
        if (filter.kind == JsonKind::Array)
            return array_contains(filter);
        return same_scalar(data_.take_scalar(), filter);
    }

    static bool same_scalar(std::string_view raw, const JsonFilter& filter) {
        if (filter.kind == JsonKind::Number)
            return JsonNumber(raw) == filter.number;
        if (filter.kind != JsonKind::String)
            return true;  // literals are their kind
        return raw.find('\\') == std::string_view::npos ? raw == filter.text
                                                        : decode_json_string(raw) == filter.text;
    }

    void spend(std::size_t steps) {
        *steps_ -= static_cast<std::int64_t>(steps);
        if (*steps_ < 0)
            throw JsonGaveUp{};
    }

    // What is prepared for each container of the data is as large as the filter's side of it.
    void spend_on(std::size_t values) { spend(values / 8); }

    bool members_contain(const JsonFilter& filter) {
        spend_on(filter.keys.size());
        for (std::size_t i = 0; i < filter.keys.size(); ++i) {
            const auto found = std::ranges::lower_bound(
                document_.members_, std::string_view(filter.keys[i]), {}, &Member::key);
            if (found == document_.members_.end() || found->key != filter.keys[i] ||
                !contains(found->place, filter.values[i]))
                return false;
        }
        return true;
    }

    bool object_contains(const JsonFilter& filter) {
        spend_on(filter.keys.size());
        std::vector<std::size_t> places(filter.keys.size(), nowhere);
        std::string decoded;
        std::string_view key;
        data_.enter();
        while (data_.next_member(key)) {
            if (key.find('\\') != std::string_view::npos) {
                decoded = decode_json_string(key);
                key = decoded;
            }
            const auto found = std::lower_bound(filter.keys.begin(), filter.keys.end(), key);
            if (found != filter.keys.end() && *found == key)  // the last of equal keys wins
                places[static_cast<std::size_t>(found - filter.keys.begin())] = data_.position();
            data_.skip_value();
        }
        for (std::size_t i = 0; i < places.size(); ++i)
            if (places[i] == nowhere || !contains(places[i], filter.values[i]))
                return false;
        return true;
    }

    bool array_contains(const JsonFilter& filter) {
        spend_on(filter.values.size());
        std::vector<const JsonFilter*> wanted;
        wanted.reserve(filter.values.size());
        for (const JsonFilter& value : filter.values)
            wanted.push_back(&value);
        data_.enter();
        while (!wanted.empty() && data_.next_element()) {
            const std::size_t element = data_.position();
            data_.skip_value();
            const std::size_t behind = data_.position();
            std::erase_if(wanted, [&](const JsonFilter* value) {
                spend(1);
                return contains(element, *value);
            });
            data_.go_to(behind);
        }
        return wanted.empty();
    }

    const JsonDocument& document_;
    JsonScanner data_;
    std::int64_t* steps_;
};

namespace {

void read_object(JsonScanner& scanner, JsonFilter& filter, int depth);

JsonFilter read_filter(JsonScanner& scanner, int depth) {
    if (depth > filter_depth_max)
        throw JsonGaveUp{};
    JsonFilter filter;
    filter.kind = scanner.peek();
    if (filter.kind == JsonKind::Object) {
        read_object(scanner, filter, depth);
    } else if (filter.kind == JsonKind::Array) {
        scanner.enter();
        while (scanner.next_element())
            filter.values.push_back(read_filter(scanner, depth + 1));
    } else {
        const std::string_view raw = scanner.take_scalar();
        if (filter.kind == JsonKind::String)
            filter.text = decode_json_string(raw);
        else if (filter.kind == JsonKind::Number)
            filter.number = JsonNumber(raw);
    }
    return filter;
}

void read_object(JsonScanner& scanner, JsonFilter& filter, int depth) {
    std::vector<std::pair<std::string, JsonFilter>> members;
    std::string_view key;
    scanner.enter();
    while (scanner.next_member(key)) {
        std::string decoded = decode_json_string(key);
        members.emplace_back(std::move(decoded), read_filter(scanner, depth + 1));
    }
    std::stable_sort(members.begin(), members.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [name, value] : members) {
        if (!filter.keys.empty() && filter.keys.back() == name) {
            filter.values.back() = std::move(value);  // the last of equal keys wins
            continue;
        }
        filter.keys.push_back(std::move(name));
        filter.values.push_back(std::move(value));
    }
}

}  // namespace

std::optional<JsonFilter> JsonFilter::parse(std::string_view text, std::int64_t step_max) {
    std::int64_t steps = step_max;
    try {
        JsonScanner scanner(text, steps);
        JsonFilter filter = read_filter(scanner, 0);
        scanner.expect_end();
        return filter;
    } catch (const JsonGaveUp&) {
        return std::nullopt;
    }
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

int JsonDocument::contains(const JsonFilter& filter) const {
    if (steps_left_ < 0)
        return -1;
    std::int64_t steps = steps_left_;
    try {
        return JsonMatcher(*this, steps).root_contains(filter) ? 1 : 0;
    } catch (const JsonGaveUp&) {
        return -1;
    }
}

int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max) {
    const std::optional<JsonFilter> wanted = JsonFilter::parse(filter, step_max);
    return wanted ? JsonDocument(data, step_max).contains(*wanted) : -1;
}

}  // namespace whisperer::engine
