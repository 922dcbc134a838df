// What becomes of a call that has ended.
#pragma once

#include "src/functions/helper.h"

namespace whisperer::pg {

struct CallEnd {
    AnswerKind kind;
    bool timed_out;
    int64 wait_us;       // Interval
    WhispererSpan text;  // Body, Error
};

void end_call(Worker* worker, HelperCall* call, const CallEnd& end);

// Whether the hook is still served.
bool is_wanted(const Worker* worker, const HelperCall* call);

// The hook is not served any more: what the call was for waits in the ledger, or is cancelled.
void give_up_call(Worker* worker, HelperCall* call);

}  // namespace whisperer::pg
