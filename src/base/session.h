// What every process of ours that is connected to a database sets first.
#pragma once

namespace whisperer::pg {

// Pins the settings that postgresql.conf, the database or a role may have set for people. To be
// called before the connection is made: PostgreSQL makes it in a transaction, which the settings
// shall hold for, and what it then finds for the database and the role does not replace them.
void pin_session();

}  // namespace whisperer::pg
