// POST /whisperer/hook_events/retry/: all that the filters of the list let through, tried again.
#include "route.h"
#include "delivery_filter.h"
#include "json_text.h"
#include "problem.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

// What can be tried again, found by the ledger's indexes however much was delivered.
const char* const candidate =
    "(d.state = 'failed' OR d.state = 'pending' AND d.next_attempt_at IS NOT NULL)";

// Counting and doing both ask this.  What waits is taken only between two attempts: not before its
// first, which may be for later, not in a line, and not when the next one is about to be made, so
// that it is not made twice.  Of an event that the caller may no longer see nothing is sent.
const std::string verdict = filled(R"((CASE
    WHEN d.hook_id NOT IN (SELECT h.id FROM whisperer.hook_definition h WHERE h.is_active)
    THEN 'deleted_hook'
    WHEN d.state = 'pending' AND (d.retry_count = 0 OR d.next_attempt_at = 'infinity'
        OR d.next_attempt_at < clock_timestamp() + interval '10 s'
        OR d.error IS NULL AND d.retry_count > cardinality(d.request_datetimes))
    THEN 'pending'
    WHEN NOT EXISTS (SELECT FROM whisperer.outbox o WHERE <of_event> AND o.data IS NOT NULL)
    THEN 'expunged'
    ELSE 'taken' END))",
                                   {{"<of_event>", of_event}});

// After the last one of the call before.
const char* const after = "($13::uuid IS NULL OR (d.event_id, d.hook_id) > ($13, $14::bigint))";

// What is left alone because it has ended well, or by somebody's will, may be all there is: a part
// of it is counted.
const char* const count_text = R"(
SELECT json_build_object('count', c.taken, 'left_out', json_build_object(
           'delivered', o.delivered, 'cancelled', o.cancelled, 'expunged', c.expunged,
           'pending', c.pending, 'deleted_hook', c.deleted_hook), 'dry_run', true, 'next', NULL)
FROM (SELECT count(*) FILTER (WHERE verdict = 'taken') AS taken,
             count(*) FILTER (WHERE verdict = 'expunged') AS expunged,
             count(*) FILTER (WHERE verdict = 'pending') AS pending,
             count(*) FILTER (WHERE verdict = 'deleted_hook') AS deleted_hook
      FROM (SELECT <verdict> AS verdict <found> AND <candidate> AND <after>) AS d) AS c,
     (SELECT count(*) FILTER (WHERE state = 'delivered') AS delivered,
             count(*) FILTER (WHERE state = 'cancelled') AS cancelled
      FROM (SELECT d.state <found> AND d.state IN ('delivered', 'cancelled') AND <after>
            LIMIT 10000) AS d) AS o)";

// Oldest first, as many as a statement has time for.
const char* const retry_text = R"(
WITH chosen AS MATERIALIZED (
    SELECT d.event_id, d.hook_id, d.state <found> AND <candidate> AND <after>
       AND <verdict> = 'taken' ORDER BY d.event_id, d.hook_id LIMIT 500),
asked AS MATERIALIZED (
    SELECT d.event_id, d.hook_id, whisperer.retry(d.event_id, d.hook_id, d.state = 'pending')
    FROM chosen d)
SELECT count(*), CASE WHEN count(*) = 500 THEN (
    SELECT <id> FROM asked d ORDER BY d.event_id DESC, d.hook_id DESC LIMIT 1) END
FROM asked)";

Statement statement_of(std::string_view text, bool by_event) {
    return Statement(filled(std::string(text), {{"<found>", matching_deliveries(by_event)},
                                                {"<key>", "NULL::text"},
                                                {"<candidate>", candidate},
                                                {"<after>", after},
                                                {"<verdict>", verdict},
                                                {"<id>", delivery_id}}),
                     Statement::Plan::ForValues);
}

// What somebody else has had tried again, or expunged, meanwhile is refused, and with it the whole
// statement; another look does not find it any more.
Rows retry_some(const Call& call, const Statement& statement) {
    for (int looks_left = 3;; looks_left--) {
        try {
            return call.run({&statement, 1});
        } catch (const DatabaseError& error) {
            if ((error.sqlstate != "55000" && error.sqlstate != "42704") || looks_left == 0)
                throw;
        }
    }
}

Answer retry_deliveries(Call& call) {
    static const Statement count[] = {statement_of(count_text, false),
                                      statement_of(count_text, true)};
    static const Statement some[] = {statement_of(retry_text, false),
                                     statement_of(retry_text, true)};
    if (call.values[delivery_filter_count + 2])
        throw bad_field("cursor", "must be as next of the call before has it");
    find_event_types(call, call.values[event_type_filter]);
    const std::size_t kind = is_by_event(call) ? 1 : 0;
    if (read_json_object(*call.values.back()).members["dry_run"].truth)
        return {200, std::string(call.run({&count[kind], 1}).text(0, 0))};
    const Rows rows = retry_some(call, some[kind]);
    const std::string next =
        rows.is_null(0, 1) ? "null" : "\"" + next_page(call.request, rows.text(0, 1)) + "\"";
    return {200, filled(R"({"count": <count>, "left_out": null, "dry_run": false, "next": <next>})",
                        {{"<count>", rows.text(0, 0)}, {"<next>", next}})};
}

}  // namespace

std::vector<Route> retry_routes() {
    std::vector<Parameter> parameters = delivery_filters();
    parameters.push_back({"cursor", Kind::DeliveryCursor});
    return {{.method = "POST",
             .path = "/whisperer/hook_events/retry/",
             .parameters = std::move(parameters),
             .body = BodyRules{{{"dry_run", Type::Boolean}}, false, true},
             .what = "delivery",
             .handler = retry_deliveries}};
}

}  // namespace whisperer::gateway
