// The wire format of HTTP/1.1: a request line becomes a Request, an Answer becomes bytes.
#pragma once
#include <string>

#include "errand.h"
#include "head.h"
#include "http.h"

namespace whisperer::gateway {

// Fills method, path and params.  Throws Problem for a line that is no good; then the connection is
// of no use any more.
void read_request_line(Head& head);

// Compressed if the client takes that and it is worth it; without a body for HEAD.
Reply written(Answer answer, const Head& head, bool closes);

}  // namespace whisperer::gateway
