// Words that the texts about failures share.
#pragma once
#include <string>

#include "worker/base/clock.h"

namespace whisperer::engine {

std::string errno_text(long error);
// "5 s", or "1500 ms".
std::string duration_text(microseconds duration);

}  // namespace whisperer::engine
