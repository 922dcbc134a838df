// The filter becomes a small tree in two blocks of memory; the data is walked in place, once per
// level of the filter, but for an object at the top, whose members are looked up.
#include "worker/base/json_contains.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace whisperer::engine {
namespace {

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

}  // namespace

class JsonMatcher {
  public:
    JsonMatcher(const JsonDocument& document, const JsonFilter& filter, std::int64_t& steps)
        : document_(document), filter_(filter), data_(document.text_, steps), steps_(&steps) {}

    bool root_contains() {
        const Node& root = filter_.root();
        const JsonKind kind = data_.peek();
        if (kind == JsonKind::Object && root.kind == JsonKind::Object)
            return members_contain(root);
        // A bare value counts as an array of itself, on the filter's side only.
        if (kind == JsonKind::Array && !is_container(root.kind))
            return array_contains(0, std::span(&root, 1));
        return contains(0, root);
    }

  private:
    using Member = JsonDocument::Member;
    using Node = JsonFilter::Node;

    static bool is_container(JsonKind kind) {
        return kind == JsonKind::Object || kind == JsonKind::Array;
    }

    // Recursion follows the filter, so its depth is the filter's.
    bool contains(std::size_t position, const Node& wanted) {
        data_.go_to(position);
        if (data_.peek() != wanted.kind)
            return false;
        if (wanted.kind == JsonKind::Object)
            return object_contains(wanted);
        if (wanted.kind == JsonKind::Array)
            return array_contains(position, filter_.elements(wanted));
        return same_scalar(data_.take_scalar(), wanted);
    }

    bool same_scalar(std::string_view raw, const Node& wanted) const {
        if (wanted.kind == JsonKind::Number) {
            const JsonNumber number(raw);
            return number.negative == wanted.negative && number.exponent == wanted.exponent &&
                   number.digits == filter_.bytes(wanted);
        }
        if (wanted.kind != JsonKind::String)
            return true;  // literals are their kind
        const std::string_view text = filter_.bytes(wanted);
        return raw.find('\\') == std::string_view::npos ? raw == text
                                                        : decode_json_string(raw) == text;
    }

    void spend(std::size_t steps) {
        *steps_ -= static_cast<std::int64_t>(steps);
        if (*steps_ < 0)
            throw JsonGaveUp{};
    }

    // What is prepared for each container of the data is as large as the filter's side of it.
    void spend_on(std::size_t values) { spend(values / 8); }

    bool members_contain(const Node& wanted) {
        const auto keys = filter_.keys(wanted);
        spend_on(keys.size());
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const std::string_view key = filter_.bytes(keys[i]);
            const auto found = std::ranges::lower_bound(document_.members_, key, {}, &Member::key);
            if (found == document_.members_.end() || found->key != key ||
                !contains(found->place, filter_.values(wanted)[i]))
                return false;
        }
        return true;
    }

    bool object_contains(const Node& wanted) {
        const auto keys = filter_.keys(wanted);
        spend_on(keys.size());
        std::vector<std::size_t> places(keys.size(), nowhere);
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
            data_.skip_value();
        }
        for (std::size_t i = 0; i < places.size(); ++i)
            if (places[i] == nowhere || !contains(places[i], filter_.values(wanted)[i]))
                return false;
        return true;
    }

    bool array_contains(std::size_t position, std::span<const Node> elements) {
        spend_on(elements.size());
        std::vector<const Node*> wanted;
        wanted.reserve(elements.size());
        for (const Node& element : elements)
            wanted.push_back(&element);
        data_.go_to(position);
        data_.enter();
        while (!wanted.empty() && data_.next_element()) {
            const std::size_t element = data_.position();
            data_.skip_value();
            const std::size_t behind = data_.position();
            std::erase_if(wanted, [&](const Node* value) {
                spend(1);
                return contains(element, *value);
            });
            data_.go_to(behind);
        }
        return wanted.empty();
    }

    const JsonDocument& document_;
    const JsonFilter& filter_;
    JsonScanner data_;
    std::int64_t* steps_;
};

// Nodes of one container lie beside each other, so they are gathered until its end.
class JsonFilterReader {
  public:
    JsonFilterReader(std::string_view text, std::int64_t& steps) : scanner_(text, steps) {}

    JsonFilter read() {
        filter_.root_ = read_value(0);
        scanner_.expect_end();
        filter_.nodes_.shrink_to_fit();
        filter_.bytes_.shrink_to_fit();
        return std::move(filter_);
    }

  private:
    using Node = JsonFilter::Node;

    Node read_value(int depth) {
        if (depth > filter_depth_max)
            throw JsonGaveUp{};
        const JsonKind kind = scanner_.peek();
        if (kind == JsonKind::Object)
            return read_object(depth);
        if (kind == JsonKind::Array)
            return read_array(depth);
        const std::string_view raw = scanner_.take_scalar();
        if (kind == JsonKind::String)
            return keep(kind, decode_json_string(raw));
        if (kind != JsonKind::Number)
            return keep(kind, {});
        const JsonNumber number(raw);
        Node node = keep(kind, number.digits);
        node.negative = number.negative;
        node.exponent = number.exponent;
        return node;
    }

    Node read_array(int depth) {
        std::vector<Node> elements;
        scanner_.enter();
        while (scanner_.next_element())
            elements.push_back(read_value(depth + 1));
        return container(JsonKind::Array, elements, elements.size());
    }

    Node read_object(int depth) {
        std::vector<std::pair<Node, Node>> members;
        std::string_view key;
        scanner_.enter();
        while (scanner_.next_member(key)) {
            const Node name = keep(JsonKind::String, decode_json_string(key));
            members.emplace_back(name, read_value(depth + 1));
        }
        const auto text = [&](const auto& member) { return filter_.bytes(member.first); };
        // The last of equal keys wins: it is the first of them from behind.
        std::ranges::reverse(members);
        std::ranges::stable_sort(members, {}, text);
        // Not that of std::ranges, which clang 14 cannot compile.
        const auto repeated =
            std::unique(members.begin(), members.end(),
                        [&](const auto& a, const auto& b) { return text(a) == text(b); });
        members.erase(repeated, members.end());
        std::vector<Node> nodes;
        nodes.reserve(2 * members.size());
        for (const auto& member : members)
            nodes.push_back(member.first);
        for (const auto& member : members)
            nodes.push_back(member.second);
        return container(JsonKind::Object, nodes, members.size());
    }

    Node keep(JsonKind kind, std::string_view bytes) {
        Node node;
        node.kind = kind;
        node.first = static_cast<std::uint32_t>(filter_.bytes_.size());
        node.count = static_cast<std::uint32_t>(bytes.size());
        filter_.bytes_.append(bytes);
        return node;
    }

    Node container(JsonKind kind, const std::vector<Node>& nodes, std::size_t count) {
        Node node;
        node.kind = kind;
        node.first = static_cast<std::uint32_t>(filter_.nodes_.size());
        node.count = static_cast<std::uint32_t>(count);
        filter_.nodes_.insert(filter_.nodes_.end(), nodes.begin(), nodes.end());
        return node;
    }

    JsonScanner scanner_;
    JsonFilter filter_;
};

std::optional<JsonFilter> JsonFilter::parse(std::string_view text, std::int64_t step_max) {
    if (text.size() > std::numeric_limits<std::uint32_t>::max() / 2)
        return std::nullopt;
    std::int64_t steps = step_max;
    try {
        return JsonFilterReader(text, steps).read();
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
        return JsonMatcher(*this, filter, steps).root_contains() ? 1 : 0;
    } catch (const JsonGaveUp&) {
        return -1;
    }
}

int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max) {
    const std::optional<JsonFilter> wanted = JsonFilter::parse(filter, step_max);
    return wanted ? JsonDocument(data, step_max).contains(*wanted) : -1;
}

}  // namespace whisperer::engine
