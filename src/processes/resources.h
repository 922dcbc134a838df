// Whether the server gives what the settings ask for.
#pragma once

namespace whisperer::pg {

// Logs one WARNING, of descriptors, processes and memory, for each answer that is another one than
// before.  By the launcher: at its start, after a change of settings, and when databases are more.
// databases: those that have the extension.
void warn_of_shortages(int databases);

// By the postmaster, which found no place for the launcher: nobody else would tell of it.
void warn_of_no_launcher();

}  // namespace whisperer::pg
