// What whisperer adds to a few utility statements; see utility_hook.cpp.
#pragma once

namespace whisperer::pg {

// _PG_init of the preloading postmaster only.
void install_utility_hook();

}  // namespace whisperer::pg
