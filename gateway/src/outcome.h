// The two requests that wait for the worker: a ping, and a retry.  Neither holds a connection to
// the database while it waits: it looks, gives the connection back, and looks again a moment later.
#pragma once
#include "route.h"

namespace whisperer::gateway {

// POST /whisperer/hooks/{id}/ping/
Answer ping(Call& call);

// POST /whisperer/hook_events/{id}/retry/
Answer retry(Call& call);

}  // namespace whisperer::gateway
