// What the worker and its helper process say to each other: one message for a call, one for its
// answer, each a header and its texts without anything in between.  Both are processes of one
// library, so plain structs travel.  Texts of a call are in the server's encoding, if nothing else
// is said.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

enum class CallKind : int32 {
    Transform,  // (event json) or (event json, meta jsonb) -> json
    Callback,   // (response jsonb, event_type text, data json, payload json) -> void
    Countdown,  // (retry_count int, kwargs jsonb) -> interval
};

enum CallText {
    TextFunction,   // its name, qualified
    TextEventType,  // not for Countdown; UTF-8
    TextData,       // not for Countdown
    TextArgument,   // Callback: response; Countdown: kwargs
    TextBody,       // Callback: what was sent, if it was not the envelope
    // Transform: how what it gives is to be said, and what its meta is made of; UTF-8.
    TextFormat,
    TextSource,
    TextObjectId,
    TextMeta,
    CallTextCount
};

struct CallHeader {
    CallKind kind;
    Oid owner;
    pg_uuid_t event_id;
    int64 hook_id;
    int32 retry_count;
    int64 recorded_at_us;             // the same; 0: no need of it
    bool sent_envelope;               // Callback: payload is the envelope
    bool takes_meta;                  // Transform
    int32 text_bytes[CallTextCount];  // -1: null
};

enum class AnswerKind : int32 {
    Ready,     // the process is connected and waits for calls
    Body,      // of a transform, in UTF-8
    Nothing,   // the transform returned null
    Done,      // the callback ended
    Interval,  // wait_us
    Error,     // the text says which, in UTF-8
};

struct AnswerHeader {
    AnswerKind kind;
    int64 wait_us;
};

// The start of the segment that both have; the two queues come after it.
struct HelperSegment {
    Size calls_offset;
    Size answers_offset;
};

// What the process is told when it starts.
struct HelperOrder {
    Oid database;
    dsm_handle segment;
};
static_assert(sizeof(HelperOrder) <= BGW_EXTRALEN, "it travels in bgw_extra");

constexpr int function_error_bytes_max = 500;

}  // namespace whisperer::pg
