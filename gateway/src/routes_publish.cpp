// /whisperer/events/: recording an event for those who do not use this database.  What the role of
// the token may publish is decided by deliver_event, as for those who do.
#include "route.h"
#include "problem.h"

namespace whisperer::gateway {

namespace {

// As json, not jsonb: what was written is what receivers get, to the last space.
const Statement record[] = {Statement(R"(
SELECT json_build_object('id', replace(whisperer.deliver_event(
    event_type => b->>'event_type', data => b->'data',
    config_filter => nullif((b->'config_filter')::jsonb, 'null'),
    object_id => b->>'object_id')::text, '-', ''))
FROM (SELECT $1::json AS b) AS given)")};

// A key that is taken and not looked at would be a promise that is not kept.
Answer publish(Call& call) {
    if (!call.request.idempotency_key.empty())
        throw Problem{400, "invalid", "Idempotency-Key is not supported",
                      "Send the event without it; give data an id by which receivers know what "
                      "comes twice."};
    return {201, std::string(call.run(record).text(0, 0))};
}

}  // namespace

std::vector<Route> publish_routes() {
    return {{.method = "POST",
             .path = "/whisperer/events/",
             .body = BodyRules{{{"event_type", Type::Text, true},
                                {"data", Type::Anything, true},
                                {"config_filter", Type::Object},
                                {"object_id", Type::Text}}},
             .what = "event type",
             .handler = publish,
             .is_of_portal = false,
             .use_of_type = "publish"}};
}

}  // namespace whisperer::gateway
