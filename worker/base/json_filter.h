// A hook's filter, read once and kept: what jsonb's @> takes, and objects that are operators.
//
// An object is an operator if it has keys and all begin with '$'.  A filter of another version may
// have such keys in another sense, so what is stored is read by read_stored, which refuses nothing
// for its keys; what a person writes is read by JsonFilter::parse.  Asked by JsonMatcher.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/base/json_pattern.h"
#include "worker/base/json_scanner.h"

namespace whisperer::engine {

// Deeper filters are refused; data may be of any depth.
inline constexpr int filter_depth_max = 64;

// Containment has no operators: a key that begins with '$' is a key like others.
enum class FilterLanguage { Containment, Operators };

enum class JsonOperator : std::uint8_t {
    None,
    Group,  // of the object whose keys are the operators; all must hold
    Eq,
    Ne,
    In,
    Nin,
    Gt,
    Gte,
    Lt,
    Lte,
    Exists,
    Prefix,
    Suffix,
    Contains,
    Regex,
    And,
    Or,
    Not,
};

// A filter that has been read: nodes of one size in one block, and the bytes of all strings and
// numbers in another, because a worker holds those of all hooks.  Bounded: filters are small and no
// deeper than filter_depth_max.
class JsonFilter {
  public:
    // Empty: not JSON, too deep, or step_max did not suffice.  Throws Invalid for an operator that
    // does not exist or does not take what it is given.
    static std::optional<JsonFilter> parse(std::string_view text, std::int64_t step_max,
                                           FilterLanguage language = FilterLanguage::Containment);
    // Any JSON, as values that can be looked up.  Throws JsonGaveUp: not JSON, too deep, out of
    // steps.
    static JsonFilter read_values(std::string_view text, int depth_max, std::int64_t& steps);
    // Of what is stored: with operators, if parse takes all of them; else containment.  Empty also
    // for a pattern that is refused: an event must not be passed over for it in silence.
    static std::optional<JsonFilter> read_stored(std::string_view text, std::int64_t step_max);

    struct Node {
        std::int64_t exponent = 0;  // Number; of Regex: which of the patterns
        // Object: the first key's place among the nodes, and how many; their values follow the
        // keys, which are sorted and differ.  Array: the first element, and how many.  String,
        // decoded, and digits of a Number: their bytes.
        std::uint32_t first = 0;
        std::uint32_t count = 0;
        JsonKind kind = JsonKind::Null;
        JsonOperator op = JsonOperator::None;  // Group: an Object; the others: its keys
        bool negative = false;                 // Number
    };

    const Node& root() const { return root_; }
    std::span<const Node> elements(const Node& array) const {
        return std::span(nodes_).subspan(array.first, array.count);
    }
    std::span<const Node> keys(const Node& object) const { return elements(object); }
    std::span<const Node> values(const Node& object) const {
        return std::span(nodes_).subspan(object.first + object.count, object.count);
    }
    std::string_view bytes(const Node& scalar) const {
        return std::string_view(bytes_).substr(scalar.first, scalar.count);
    }
    const JsonPattern& pattern(const Node& operand) const {
        return *patterns_[static_cast<std::size_t>(operand.exponent)];
    }
    // What it takes in memory, without patterns and the allocator's own.
    std::size_t size_bytes() const {
        return sizeof *this + nodes_.capacity() * sizeof(Node) + bytes_.capacity();
    }

  private:
    friend class JsonFilterReader;

    static bool is_too_large(std::string_view text);

    Node root_;
    std::vector<Node> nodes_;
    std::string bytes_;
    std::vector<std::unique_ptr<const JsonPattern>> patterns_;
};

}  // namespace whisperer::engine
