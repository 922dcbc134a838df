// See the header.  Nodes of one container lie beside each other, so they are gathered until its
// end.
#include "worker/base/json_filter.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "worker/base/clean_text.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

struct OperatorName {
    std::string_view name;
    JsonOperator op;
};

constexpr std::array operator_names = {
    OperatorName{"$eq", JsonOperator::Eq},
    OperatorName{"$ne", JsonOperator::Ne},
    OperatorName{"$in", JsonOperator::In},
    OperatorName{"$nin", JsonOperator::Nin},
    OperatorName{"$gt", JsonOperator::Gt},
    OperatorName{"$gte", JsonOperator::Gte},
    OperatorName{"$lt", JsonOperator::Lt},
    OperatorName{"$lte", JsonOperator::Lte},
    OperatorName{"$exists", JsonOperator::Exists},
    OperatorName{"$prefix", JsonOperator::Prefix},
    OperatorName{"$suffix", JsonOperator::Suffix},
    OperatorName{"$contains", JsonOperator::Contains},
    OperatorName{"$regex", JsonOperator::Regex},
    OperatorName{"$and", JsonOperator::And},
    OperatorName{"$or", JsonOperator::Or},
    OperatorName{"$not", JsonOperator::Not},
};

JsonOperator operator_of(std::string_view key) {
    const auto found = std::ranges::find(operator_names, key, &OperatorName::name);
    if (found != operator_names.end())
        return found->op;
    std::string hint = "Operators are ";
    for (const OperatorName& known : operator_names)
        hint.append(known.name).append(&known == &operator_names.back() ? "." : ", ");
    throw Invalid("filter has an unknown operator \"" + to_clean_line(key, 64) + '"', hint);
}

// What an operator may be given; empty: this kind.
std::string_view lacking(JsonOperator op, JsonKind kind) {
    const auto is = [kind](auto... kinds) { return ((kind == kinds) || ...); };
    switch (op) {
        case JsonOperator::In:
        case JsonOperator::Nin:
            return is(JsonKind::Array) ? "" : "an array";
        case JsonOperator::Gt:
        case JsonOperator::Gte:
        case JsonOperator::Lt:
        case JsonOperator::Lte:
            return is(JsonKind::Number, JsonKind::String) ? "" : "a number or a string";
        case JsonOperator::Exists:
            return is(JsonKind::True, JsonKind::False) ? "" : "true or false";
        case JsonOperator::Prefix:
        case JsonOperator::Suffix:
        case JsonOperator::Regex:
            return is(JsonKind::String) ? "" : "a string";
        case JsonOperator::Contains:
            return is(JsonKind::String, JsonKind::Object, JsonKind::Array)
                       ? ""
                       : "a string, an object or an array";
        case JsonOperator::And:
        case JsonOperator::Or:
            return is(JsonKind::Array) ? "" : "an array of filters";
        default:
            return "";
    }
}

bool takes_filters(JsonOperator op) {
    return op == JsonOperator::And || op == JsonOperator::Or || op == JsonOperator::Not;
}

}  // namespace

class JsonFilterReader {
  public:
    JsonFilterReader(std::string_view text, std::int64_t& steps, int depth_max = filter_depth_max)
        : scanner_(text, steps), depth_max_(depth_max) {}

    JsonFilter read(FilterLanguage language) {
        filter_.root_ = read_value(0, language);
        scanner_.expect_end();
        filter_.nodes_.shrink_to_fit();
        filter_.bytes_.shrink_to_fit();
        return std::move(filter_);
    }

  private:
    using Node = JsonFilter::Node;
    using Member = std::pair<Node, Node>;

    Node read_value(int depth, FilterLanguage language) {
        if (depth > depth_max_)
            throw JsonGaveUp{};
        const JsonKind kind = scanner_.peek();
        if (kind == JsonKind::Object)
            return language == FilterLanguage::Operators && has_operators()
                       ? read_operators(depth)
                       : read_object(depth, language);
        if (kind == JsonKind::Array)
            return read_array(depth, language);
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

    Node read_array(int depth, FilterLanguage language) {
        std::vector<Node> elements;
        scanner_.enter();
        while (scanner_.next_element())
            elements.push_back(read_value(depth + 1, language));
        return container(JsonKind::Array, elements, elements.size());
    }

    // Values are read by what the keys are, so those are looked at before.
    bool has_operators() {
        const std::size_t begin = scanner_.position();
        std::string_view key;
        bool all = false;
        scanner_.enter();
        while (scanner_.next_member(key)) {
            all = decode_json_string(key).starts_with('$');
            if (!all)
                break;
            scanner_.skip_value();
        }
        scanner_.go_to(begin);
        return all;
    }

    Node read_object(int depth, FilterLanguage language) {
        std::vector<Member> members;
        std::string_view key;
        scanner_.enter();
        while (scanner_.next_member(key)) {
            const Node name = keep(JsonKind::String, decode_json_string(key));
            members.emplace_back(name, read_value(depth + 1, language));
        }
        return object(std::move(members));
    }

    Node read_operators(int depth) {
        std::vector<Member> members;
        std::string_view key;
        scanner_.enter();
        while (scanner_.next_member(key)) {
            const std::string text = decode_json_string(key);
            Node name = keep(JsonKind::String, text);
            name.op = operator_of(text);
            members.emplace_back(name, read_operand(text, name.op, depth + 1));
        }
        Node group = object(std::move(members));
        group.op = JsonOperator::Group;
        return group;
    }

    Node read_operand(std::string_view name, JsonOperator op, int depth) {
        const std::string_view wanted = lacking(op, scanner_.peek());
        if (!wanted.empty())
            throw Invalid("filter operator " + std::string(name) + " needs " + std::string(wanted));
        Node operand = read_value(
            depth, takes_filters(op) ? FilterLanguage::Operators : FilterLanguage::Containment);
        if (takes_filters(op) && op != JsonOperator::Not && operand.count == 0)
            throw Invalid("filter operator " + std::string(name) + " needs at least one filter");
        if (op == JsonOperator::Regex)
            compile(operand);
        return operand;
    }

    void compile(Node& pattern) {
        if (filter_.patterns_.size() == patterns_max)
            throw BadPattern("patterns of $regex are more than " + std::to_string(patterns_max));
        pattern.exponent = static_cast<std::int64_t>(filter_.patterns_.size());
        filter_.patterns_.push_back(std::make_unique<const JsonPattern>(filter_.bytes(pattern)));
    }

    Node object(std::vector<Member> members) {
        const auto text = [&](const Member& member) { return filter_.bytes(member.first); };
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
        for (const Member& member : members)
            nodes.push_back(member.first);
        for (const Member& member : members)
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
    int depth_max_;
    JsonFilter filter_;
};

bool JsonFilter::is_too_large(std::string_view text) {
    return text.size() > std::numeric_limits<std::uint32_t>::max() / 2;
}

JsonFilter JsonFilter::read_values(std::string_view text, int depth_max, std::int64_t& steps) {
    if (is_too_large(text))
        throw JsonGaveUp{};
    return JsonFilterReader(text, steps, depth_max).read(FilterLanguage::Containment);
}

std::optional<JsonFilter> JsonFilter::parse(std::string_view text, std::int64_t step_max,
                                            FilterLanguage language) {
    if (is_too_large(text))
        return std::nullopt;
    std::int64_t steps = step_max;
    try {
        return JsonFilterReader(text, steps).read(language);
    } catch (const JsonGaveUp&) {
        return std::nullopt;
    }
}

std::optional<JsonFilter> JsonFilter::read_stored(std::string_view text, std::int64_t step_max) {
    try {
        return parse(text, step_max, FilterLanguage::Operators);
    } catch (const BadPattern&) {
        return std::nullopt;
    } catch (const Invalid&) {
        return parse(text, step_max, FilterLanguage::Containment);
    }
}

}  // namespace whisperer::engine
