// The door's spans as views.
#pragma once
#include <string_view>

#include "worker/engine.h"

namespace whisperer::engine {

inline std::string_view view_of(WhispererSpan span) {
    return span.data == nullptr ? std::string_view() : std::string_view(span.data, span.size);
}

}  // namespace whisperer::engine
