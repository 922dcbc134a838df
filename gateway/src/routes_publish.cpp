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
    object_id => b->>'object_id',
    deliver_at => (b->>'deliver_at')::timestamptz, expires_at => (b->>'expires_at')::timestamptz,
    idempotency_key => $2)::text, '-', ''))
FROM (SELECT $1::json AS b) AS given)")};

// A string as structured fields have it (RFC 8941), in quotes; or, as most clients send it,
// without.
std::string key_of(std::string_view value) {
    if (!value.starts_with('"'))
        return std::string(value);
    std::string key;
    for (std::size_t at = 1; at < value.size(); ++at) {
        if (value[at] == '"' && at + 1 == value.size())
            return key;
        if (value[at] == '\\' && at + 1 < value.size())
            ++at;
        else if (value[at] == '"')
            break;
        key += value[at];
    }
    throw Problem{400, "invalid", "Idempotency-Key is no string in quotes"};
}

Answer publish(Call& call) {
    std::vector<Value> with = call.values;
    const std::string& key = call.request.idempotency_key;
    with.push_back(key.empty() ? Value() : Value(key_of(key)));
    return {201, std::string(call.run(record, with).text(0, 0))};
}

}  // namespace

std::vector<Route> publish_routes() {
    return {{.method = "POST",
             .path = "/whisperer/events/",
             .body = BodyRules{{{"event_type", Type::Text, true},
                                {"data", Type::Anything, true},
                                {"config_filter", Type::Object},
                                {"object_id", Type::Text},
                                {"deliver_at", Type::Time},
                                {"expires_at", Type::Time}}},
             .what = "event type",
             .handler = publish,
             .is_of_portal = false,
             .use_of_type = "publish"}};
}

}  // namespace whisperer::gateway
