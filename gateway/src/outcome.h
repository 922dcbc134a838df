// The two requests that wait for the worker of the extension: a ping, and a retry.  While it waits,
// neither holds a thread or a connection to the database: a moment later it is looked again.
#pragma once
#include "route.h"

namespace whisperer::gateway {

// POST /whisperer/hooks/{id}/ping/
Answer ping(Call& call);

// POST /whisperer/hook_events/{id}/retry/
Answer retry(Call& call);

}  // namespace whisperer::gateway
