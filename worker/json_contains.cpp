// The filter becomes a small tree; the data is walked in place, once per level of the filter.
#include "json_contains.h"

#include <algorithm>
#include <string>
#include <vector>

#include "json_scanner.h"

namespace whisperer::engine {
namespace {

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

// One value of the filter.  Bounded: filters are small and no deeper than filter_depth_max.
struct Filter {
    JsonKind kind = JsonKind::Null;
    std::string text;               // String: decoded
    JsonNumber number;              // Number: worked out once, however often it is compared
    std::vector<std::string> keys;  // Object: sorted, each once; values beside them
    std::vector<Filter> values;     // Object, Array
};

class Matcher {
  public:
    Matcher(std::string_view data, std::int64_t& steps) : data_(data, steps), steps_(&steps) {}

    bool root_contains(const Filter& filter) {
        const JsonKind kind = data_.peek();
        // A bare value counts as an array of itself, on the filter's side only.
        if (kind == JsonKind::Array && !is_container(filter.kind)) {
            Filter wrapped;
            wrapped.kind = JsonKind::Array;
            wrapped.values.push_back(filter);
            return contains(0, wrapped);
        }
        return contains(0, filter);
    }

  private:
    static bool is_container(JsonKind kind) {
        return kind == JsonKind::Object || kind == JsonKind::Array;
    }

    // Recursion follows the filter, so its depth is the filter's.
    bool contains(std::size_t position, const Filter& filter) {
        data_.go_to(position);
        if (data_.peek() != filter.kind)
            return false;
        if (filter.kind == JsonKind::Object)
            return object_contains(filter);
        if (filter.kind == JsonKind::Array)
            return array_contains(filter);
        return same_scalar(data_.take_scalar(), filter);
    }

    static bool same_scalar(std::string_view raw, const Filter& filter) {
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

    bool object_contains(const Filter& filter) {
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

    bool array_contains(const Filter& filter) {
        spend_on(filter.values.size());
        std::vector<const Filter*> wanted;
        wanted.reserve(filter.values.size());
        for (const Filter& value : filter.values)
            wanted.push_back(&value);
        data_.enter();
        while (!wanted.empty() && data_.next_element()) {
            const std::size_t element = data_.position();
            data_.skip_value();
            const std::size_t behind = data_.position();
            std::erase_if(wanted, [&](const Filter* value) {
                spend(1);
                return contains(element, *value);
            });
            data_.go_to(behind);
        }
        return wanted.empty();
    }

    JsonScanner data_;
    std::int64_t* steps_;
};

void read_object(JsonScanner& scanner, Filter& filter, int depth);

Filter read_filter(JsonScanner& scanner, int depth) {
    if (depth > filter_depth_max)
        throw JsonGaveUp{};
    Filter filter;
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

void read_object(JsonScanner& scanner, Filter& filter, int depth) {
    std::vector<std::pair<std::string, Filter>> members;
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

int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max) {
    std::int64_t steps = step_max;
    try {
        JsonScanner scanner(filter, steps);
        const Filter wanted = read_filter(scanner, 0);
        scanner.expect_end();
        JsonScanner::validate(data, steps);
        return Matcher(data, steps).root_contains(wanted) ? 1 : 0;
    } catch (const JsonGaveUp&) {
        return -1;
    }
}

}  // namespace whisperer::engine
