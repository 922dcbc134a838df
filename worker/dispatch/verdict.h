// From what came back to what it means: delivered, to be tried again, or failed for good.
//
// Pure apart from the clock's randomness; called by the dispatcher once per attempt that ended.
#pragma once
#include "worker/dispatch/outcome.h"
#include "worker/rules/retry.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

// What an answer other than 2xx is called.
std::string status_error(const WireResult& result);

// An address that the hook no longer has says nothing of what comes next: neither that the receiver
// is gone, nor how long to wait, nor that another attempt is of no use.
// Fills kind, status, next_after, hook_gone, given_up, response, error and its code; the caller
// knows the rest.  retry_count: attempts made before this one.  Not for WireEnd::OurFault.
//
// failure: why it failed although the answer is a 2xx; empty: the status decides.
Outcome judge(WireResult&& result, const RetryPlan& plan, int retry_count, Clock& clock,
              std::string failure = {});

}  // namespace whisperer::engine
