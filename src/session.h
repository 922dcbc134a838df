// What every process of ours that is connected to a database sets first.
#pragma once

namespace whisperer::pg {

// Pins the settings that postgresql.conf, the database or a role may have set for people.
void pin_session();

}  // namespace whisperer::pg
