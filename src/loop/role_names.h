// owner_name and role_name follow a rename, for the next dump.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

bool names_are_due(const Worker* worker, SteadyTime now);

// In a writing transaction.
void refresh_role_names(Worker* worker);

}  // namespace whisperer::pg
