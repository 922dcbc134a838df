// A regular expression of a filter, compiled once for each hook that has it.
//
// RE2's, because whoever may write a hook may write one: its time grows with the text and never
// explodes, its memory has a bound.  Small and wrapped, so that one file alone includes re2.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "worker/base/invalid.h"

namespace re2 {
class RE2;
}

namespace whisperer::engine {

inline constexpr std::size_t pattern_bytes_max = 1000;
inline constexpr std::size_t patterns_max = 10;  // of one filter

// Also of what is stored: a newer RE2 may refuse what an older one took.
class BadPattern : public Invalid {
  public:
    using Invalid::Invalid;
};

class JsonPattern {
  public:
    // Throws BadPattern with what RE2 says of it.
    explicit JsonPattern(std::string_view pattern);
    ~JsonPattern();

    // Whether some part of the text matches, which is UTF-8 as JSON strings have it.
    bool is_in(std::string_view text) const;
    // What that costs at worst, as other comparisons are counted.
    std::size_t steps_for(std::string_view text) const;

  private:
    std::unique_ptr<const re2::RE2> regex_;
};

}  // namespace whisperer::engine
