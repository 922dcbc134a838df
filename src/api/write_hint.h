// Says which function does what plain DML may not do.
#pragma once

namespace whisperer::pg {

// _PG_init of the preloading postmaster only.
void install_write_hint();

}  // namespace whisperer::pg
