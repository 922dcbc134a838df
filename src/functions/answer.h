// Calls: what is made one, and what becomes of one that has ended.
#pragma once

#include "src/base/event_facts.h"
#include "src/functions/helper.h"

namespace whisperer::pg {

// In a transaction: a delivery of which the hook's transform makes the body or, for another format
// than whisperer, the data.  data: of the outbox.  Without room it becomes a pending row.
void transform_delivery(Worker* worker, const Hook& hook, const Inflight& delivery,
                        const char* event_type, Datum data, const EventFacts& facts);

// In a transaction, with room: a delivery that has ended, of which the hook's callback is told.
// response: JSON; event_type null: the event is gone; data 0: it is, or it is too large; body 0: it
// was the envelope, or is not known.
struct Ended {
    const char* response;
    const char* event_type;
    Datum data;
    Datum body;
    bool has_format;  // another than whisperer
};
void call_back(Worker* worker, const Hook& hook, const Inflight& delivery, const Ended& ended);

// Enters all that the engine has to say of deliveries.  stopping: what it gives back is forgotten.
void take_outcomes(Worker* worker, bool stopping);

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
