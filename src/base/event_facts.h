// What is known of an event beside its data, for a hook whose format or metadata headers say it.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

// Spans are UTF-8.
struct EventFacts {
    const char* format;  // as the ledger keeps it; null: whisperer, which needs none of the others
    int64 recorded_at_us;  // 0: the others were not asked for
    WhispererSpan source;
    WhispererSpan object_id;
    WhispererSpan meta;  // whatever was asked for
};

inline void add_facts(WhispererEvent* event, const EventFacts& facts) {
    if (facts.format)
        event->format = {facts.format, strlen(facts.format)};
    event->recorded_at_us = facts.recorded_at_us;
    event->source = facts.source;
    event->object_id = facts.object_id;
    event->meta = facts.meta;
}

// Of columns of the outbox, in a transaction; a text that has no UTF-8 is as if it were not there.
// metadata: of the hook, bits of WhispererMetadata.
EventFacts facts_of(const char* format, int32 metadata, TimestampTz recorded_at, Datum source,
                    Datum object_id, Datum meta);

// When it may be sent: not before deliver_at, not from expires_at on; 0: no such moment.
struct EventTimes {
    TimestampTz deliver_at;
    TimestampTz expires_at;
};
EventTimes times_of(WhispererSpan meta);

inline bool is_past(TimestampTz moment) {
    return moment != 0 && moment <= GetCurrentTimestamp();
}

// The body that the event's format makes of it, in the database's encoding and the current context;
// null: it makes none.
text* body_of(const WhispererEvent& event);

}  // namespace whisperer::pg
