// Whether the server gives what the settings ask for.
#pragma once

namespace whisperer::pg {

// Logs one WARNING, of descriptors, processes and memory, for each answer that is another one than
// before.  By the launcher: at its start, after a change of settings, and when databases are more.
// databases: those that have the extension.
void warn_of_shortages(int databases);

}  // namespace whisperer::pg
