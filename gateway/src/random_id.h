// Ids of requests: 32 hex digits that nobody can foresee and no two requests share.
#pragma once
#include <string>

namespace whisperer::gateway {

std::string random_id();

}  // namespace whisperer::gateway
