// W3C Trace Context: whether two texts may go out as headers traceparent and tracestate.
//
// Who gets one that is against the rules drops both, and the trace ends there; so they are refused
// where they are set.  Pure functions, used by event_meta.
#pragma once
#include <string_view>

namespace whisperer::engine {

// Of version 00, or of a later one as far as version 00 can tell.
bool is_traceparent(std::string_view text);

// A list of at most 32 members key=value, each key once.
bool is_tracestate(std::string_view text);

}  // namespace whisperer::engine
