// One call of a subscriber's function, in the helper process.
#pragma once

#include "src/functions/message.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Answer {
    AnswerHeader header;
    const char* text;  // in the context that was current
    Size text_bytes;
};

// Calls the function in a transaction of its own, with the rights of its owner.  Whatever it raises
// is the answer.  message: a CallHeader and its texts.  Not in a transaction; nothing is left of
// the session's state but what only a new process can shed.
Answer answer_call(const char* message, Size bytes);

}  // namespace whisperer::pg
