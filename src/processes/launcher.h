// The launcher: a static background worker that finds the databases with the extension and keeps
// their delivery workers running.
#pragma once

namespace whisperer::pg {

// _PG_init of the preloading postmaster only.
void register_launcher();

}  // namespace whisperer::pg
