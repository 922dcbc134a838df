// Going through the outbox once more, for a hook that is to have again what it had (replay), or to
// catch up with what it has never had.
#pragma once

#include "src/again/requests.h"

namespace whisperer::pg {

struct Hook;

// A page of the outbox, of which nothing but (xid, id) is indexed.
Progress replay(Worker* worker, Request* request, const Hook* hook);

}  // namespace whisperer::pg
