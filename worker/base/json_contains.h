// jsonb's  data @> filter  on JSON texts, so that a hook's filter needs no database.
//
// PostgreSQL's own containment was not an option: it took seconds for a filter of 7 kB, and one
// legal event (\u0000, 1e200000) raises in jsonb and would stop a page.  A thousand hooks may
// filter one event, so each side is read once: a filter when its hook is loaded, the data when the
// first filter asks.  Used through the door (filter.cpp).
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/base/json_scanner.h"

namespace whisperer::engine {

// Deeper filters are refused; data may be of any depth.
inline constexpr int filter_depth_max = 64;

// A filter that has been read: nodes of one size in one block, and the bytes of all strings and
// numbers in another, because a worker holds those of all hooks.  Bounded: filters are small and no
// deeper than filter_depth_max.
class JsonFilter {
  public:
    // Empty: not JSON, too deep, or step_max did not suffice.
    static std::optional<JsonFilter> parse(std::string_view text, std::int64_t step_max);

    struct Node {
        std::int64_t exponent = 0;  // Number
        // Object: the first key's place among the nodes, and how many; their values follow the
        // keys, which are sorted and differ.  Array: the first element, and how many.  String,
        // decoded, and digits of a Number: their bytes.
        std::uint32_t first = 0;
        std::uint32_t count = 0;
        JsonKind kind = JsonKind::Null;
        bool negative = false;  // Number
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
    // What it takes in memory, without the allocator's own.
    std::size_t size_bytes() const {
        return sizeof *this + nodes_.capacity() * sizeof(Node) + bytes_.capacity();
    }

  private:
    friend class JsonFilterReader;

    Node root_;
    std::vector<Node> nodes_;
    std::string bytes_;
};

// The data of one event.  Borrows the text.
class JsonDocument {
  public:
    JsonDocument(std::string_view text, std::int64_t step_max);

    // 1: contains, 0: does not, -1: the data is not JSON, or what reading it left of step_max did
    // not suffice.
    int contains(const JsonFilter& filter) const;

  private:
    friend class JsonMatcher;
    struct Member {
        std::string_view key;
        std::size_t place;
    };

    void read_members(std::int64_t& steps);

    std::string_view text_;
    std::int64_t steps_left_ = -1;
    std::vector<Member> members_;      // of an object, those at the top: sorted, each once
    std::deque<std::string> decoded_;  // keys that were written with escapes
};

// Both at once, for a single question.
int json_contains(std::string_view data, std::string_view filter, std::int64_t step_max);

}  // namespace whisperer::engine
