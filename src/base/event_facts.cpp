// See event_facts.h.
#include "src/base/event_facts.h"

#include "src/base/encoding.h"
#include "src/base/unix_time.h"

namespace whisperer::pg {

namespace {

WhispererSpan utf8_of(Datum datum) {
    WhispererSpan utf8 = {};
    if (datum == (Datum)0)
        return utf8;
    text* value = DatumGetTextPP(datum);
    if (!utf8_from_server(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &utf8))
        return {};
    return utf8;
}

}  // namespace

EventFacts facts_of(const char* format, int32 metadata, TimestampTz recorded_at, Datum source,
                    Datum object_id, Datum meta) {
    EventFacts facts = {};
    facts.meta = utf8_of(meta);
    if (format == nullptr && metadata == 0)
        return facts;
    facts.format = format;
    facts.recorded_at_us = unix_from_timestamp(recorded_at);
    facts.source = utf8_of(source);
    facts.object_id = utf8_of(object_id);
    return facts;
}

EventTimes times_of(WhispererSpan meta) {
    WhispererEventTimes times = {};
    // What cannot be read cannot be sent either, which is said where it is to be.
    if (meta.size == 0 || whisperer_event_times(meta, &times, nullptr) != WhispererOk)
        return {};
    return {times.deliver_at_us ? timestamp_from_unix(times.deliver_at_us) : 0,
            times.expires_at_us ? timestamp_from_unix(times.expires_at_us) : 0};
}

text* body_of(const WhispererEvent& event) {
    size_t bytes = 0;
    if (whisperer_body(&event, nullptr, 0, &bytes, nullptr) != WhispererOk)
        return nullptr;
    char* body = (char*)palloc_extended(bytes + 1, MCXT_ALLOC_HUGE);
    if (whisperer_body(&event, body, bytes, &bytes, nullptr) != WhispererOk)
        return nullptr;
    return server_from_utf8({body, bytes});
}

}  // namespace whisperer::pg
