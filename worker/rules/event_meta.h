// What was said of one event when it was recorded, beside its data: the outbox's column meta, a
// JSON object.  Its member context is what the transaction's whisperer.context was, headers are
// those of the event alone.
//
// Invariant: it depends on the event alone, so that every attempt says the same; and no line holds
// a control byte, whoever wrote the row.  Made by Event, by the formats and by preview;
// whisperer_check_context runs the same rules where a context is set.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "worker/engine.h"
#include "worker/rules/headers.h"

namespace whisperer::engine {

inline constexpr std::size_t context_bytes_max = 1024;
inline constexpr std::size_t idempotency_key_bytes_max = WHISPERER_IDEMPOTENCY_KEY_BYTES_MAX;

struct EventMeta {
    std::string traceparent;  // empty: none
    std::string tracestate;   // the same
    std::string context;      // its other members, as a JSON object in ASCII; empty: none
    std::string ping_of;      // the event is a ping that shows what one of this type is like
    HeaderLines headers;
    std::int64_t deliver_at_us = 0;  // not sent before; 0: at once
    std::int64_t expires_at_us = 0;  // not sent from then on; 0: never
    std::string idempotency_key;     // empty: none
    std::int64_t key_until_us = 0;   // until when a second event with it is the same one

    // Empty: nothing was said.  Throws Invalid.
    static EventMeta parse(std::string_view json);

    // Leaves of what goes out in headers what both say: of the trace, the context, the idempotency
    // key and the event's own headers each the whole or nothing.
    void keep_common(const EventMeta& other);

    // The headers of its requests.  with_headers: its own too, which go to nobody but the receiver.
    HeaderLines lines(bool with_headers) const;
};

// The event as receivers are told it: a ping of a type has that type.  Both must outlive it.
WhispererEvent as_told(const WhispererEvent& event, const EventMeta& meta);

// Throws Invalid unless a transaction may have this whisperer.context.
void check_context(std::string_view json);

// Throws Invalid unless an event may have this idempotency key.
void check_idempotency_key(std::string_view key);

}  // namespace whisperer::engine
