// Words that the texts about failures share.
#pragma once
#include <string>

#include "worker/base/clock.h"

namespace whisperer::engine {

// "connection lost: broken pipe"; where the system gives no reason (0), what happened alone.
std::string with_errno(std::string what, long error);
// "5 s", or "1500 ms".
std::string duration_text(microseconds duration);

}  // namespace whisperer::engine
