// Which deliveries are meant; see delivery_filter.h.
#include "delivery_filter.h"

#include "text.h"

namespace whisperer::gateway {

const char* const of_event = "o.xid = d.xid AND o.id = d.event_id AND o.slot = d.slot";
const char* const delivery_id = "replace(d.event_id::text, '-', '') || '-' || d.hook_id";

namespace {

// A time between two milliseconds: the next one is the first that is not before it, and the first
// after it is a millisecond beyond the last that is not after it.
//
// Only what was answered with 2xx is delivered.  Of what is not the ledger has indexes: so it is
// said once more, in their words, where that is all that can be meant.
std::string matching(std::string_view events, std::string_view filter) {
    return filled(R"(
FROM (SELECT d.*, <key> AS key FROM whisperer.delivery d) AS d <events>
WHERE ($1::uuid IS NULL OR d.event_id = $1) AND ($2::bigint IS NULL OR d.hook_id = $2)
  AND <filter>
  AND ($5::text IS NULL OR d.state = $5)
  AND ($5 IS DISTINCT FROM 'pending' OR d.next_attempt_at IS NOT NULL)
  AND ($6::boolean IS NULL OR (d.state = 'delivered') = $6)
  AND ($7::integer IS NULL OR d.response_http_status = $7)
  AND ($6 IS DISTINCT FROM false AND ($7 IS NULL OR $7 BETWEEN 200 AND 299)
       OR d.state IN ('failed', 'cancelled')
       OR d.state = 'pending' AND d.next_attempt_at IS NOT NULL)
  AND ($8::timestamptz IS NULL OR d.event_id >= whisperer.event_id_bound($8 + '999 us')
                              AND d.event_id < whisperer.event_id_bound($8 + '1 ms'))
  AND ($9::timestamptz IS NULL OR d.event_id >= whisperer.event_id_bound($9 + '1 ms'))
  AND ($10::timestamptz IS NULL OR d.event_id >= whisperer.event_id_bound($10 + '999 us'))
  AND ($11::timestamptz IS NULL OR d.event_id < whisperer.event_id_bound($11 + '999 us'))
  AND ($12::timestamptz IS NULL OR d.event_id < whisperer.event_id_bound($12 + '1 ms')))",
                  {{"<events>", events}, {"<filter>", filter}});
}

}  // namespace

std::vector<Parameter> delivery_filters() {
    return {{"uuid", Kind::Uuid},
            {"webhook", Kind::Id},
            {"event_type", Kind::Text},
            {"object_id", Kind::Text},
            {"state", Kind::Choice, " pending delivered failed cancelled "},
            {"delivered", Kind::Boolean},
            {"response_http_status", Kind::Integer},
            {"created_date", Kind::Time},
            {"created_date__gt", Kind::Time},
            {"created_date__gte", Kind::Time},
            {"created_date__lt", Kind::Time},
            {"created_date__lte", Kind::Time}};
}

bool is_by_event(const Call& call) {
    return call.values[event_type_filter] || call.values[event_type_filter + 1];
}

const std::string& matching_deliveries(bool by_event) {
    static const std::string without = matching("", "$3::text[] IS NULL AND $4::text IS NULL");
    static const std::string with =
        matching(filled("JOIN whisperer.outbox o ON <of_event>", {{"<of_event>", of_event}}),
                 "($3::text[] IS NULL OR o.event_type = ANY ($3)) "
                 "AND ($4::text IS NULL OR o.object_id = $4)");
    return by_event ? with : without;
}

// Event types are compared as they are: before a text is put into lower case, each event would be
// looked at for whether one may see it.  So the names are found first, whatever their case, among
// those that are registered: mostly one.  As it was written it may be one that no longer is.
void find_event_types(const Call& call, Value& event_type) {
    static const Statement find[] = {Statement(R"(
SELECT (ARRAY(SELECT t.name FROM whisperer.event_type t WHERE lower(t.name) = lower($1::text))
        || $1::text)::text)")};
    if (event_type)
        event_type = std::string(call.run(find, {{event_type}}).text(0, 0));
}

}  // namespace whisperer::gateway
