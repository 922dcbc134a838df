// Who one is, and how everything is doing.
#include "route.h"
#include "text.h"
#include "words.h"

namespace whisperer::gateway {

namespace {

const char* const session = R"(
SELECT json_build_object('role', current_user, 'version', e.extversion)
FROM pg_extension e WHERE e.extname = 'whisperer')";

// Times as seconds, and owner as its name.  page: ids, for only of these hooks the figures are
// made.
std::string hook_stats(std::string_view page) {
    return filled(R"(
SELECT json_build_object(
    'hook_id', s.hook_id, 'event_type', s.event_type, 'target_url', s.target_url,
    'state', s.state, 'state_reason', <state_reason>, 'pending', s.pending,
    'delivered', s.delivered, 'failed', s.failed, 'success_rate', s.success_rate,
    'response_time_p50', extract(epoch FROM s.response_time_p50),
    'response_time_p95', extract(epoch FROM s.response_time_p95),
    'circuit', s.circuit, 'circuit_reason', s.circuit_reason,
    'circuit_retry_at', s.circuit_retry_at,
    'failing_since', s.failing_since, 'last_error', s.last_error,
    'function_error', s.function_error, 'function_error_at', s.function_error_at,
    'function_timeouts', s.function_timeouts, 'owner', pg_get_userbyid(s.owner::oid),
    'delivered_total', s.delivered_total, 'failed_attempts_total', s.failed_attempts_total,
    'failed_total', s.failed_total,
    'response_time_total', extract(epoch FROM s.response_time_total),
    'without_key', s.without_key), s.hook_id
FROM <page> AS p (hook_id),
     LATERAL (SELECT * FROM whisperer.hook_stats s WHERE s.hook_id = p.hook_id OFFSET 0) AS s
ORDER BY s.hook_id LIMIT $3::integer)",
                  {{"<page>", page}, {"<state_reason>", in_words("s.state_reason")}});
}

const Statement stats_of_hook[] = {
    Statement(hook_stats("(SELECT $1::bigint WHERE $2::bigint IS NULL OR $1 > $2)"))};
const Statement stats_of_hooks[] = {Statement(hook_stats(R"((
    SELECT hook_id FROM whisperer.hook_stats WHERE $1::bigint IS NULL
       AND ($2::bigint IS NULL OR hook_id > $2) ORDER BY hook_id LIMIT $3::integer))"))};

Answer list_hook_stats(Call& call) {
    return list_answer(call, call.run(call.values[0] ? stats_of_hook : stats_of_hooks));
}

// Of several hooks the counts by response time are added first: percentiles cannot be.
const char* const delivery_rate = R"(
WITH r AS MATERIALIZED (
    SELECT minute, delivered, failed_attempts, failed, response_times FROM whisperer.delivery_rate
    WHERE minute > now() - make_interval(hours => $2::integer)
      AND ($1::bigint IS NULL OR hook_id = $1)),
counted AS (
    SELECT n.minute, array_agg(n.count ORDER BY n.number) AS counts
    FROM (SELECT r.minute, u.number, sum(u.count)::bigint AS count
          FROM r, unnest(r.response_times) WITH ORDINALITY AS u (count, number) GROUP BY 1, 2) AS n
    GROUP BY n.minute)
SELECT json_build_object('results', coalesce(json_agg(json_build_object(
    'minute', m.minute, 'delivered', m.delivered, 'failed_attempts', m.failed_attempts,
    'failed', m.failed,
    'response_time_p50', extract(epoch FROM whisperer.response_time_at(c.counts, 0.5)),
    'response_time_p95', extract(epoch FROM whisperer.response_time_at(c.counts, 0.95)))
    ORDER BY m.minute), '[]'))
FROM (SELECT minute, sum(delivered) AS delivered, sum(failed_attempts) AS failed_attempts,
             sum(failed) AS failed FROM r GROUP BY minute) AS m
LEFT JOIN counted c USING (minute))";

const std::string status = filled(R"(
SELECT json_build_object('results', coalesce(json_agg(json_build_object(
    'worker', s.worker, 'state', s.state, 'reason', <reason>, 'pid', s.pid, 'since', s.since,
    'lag_events', s.lag_events, 'lag_seconds', s.lag_seconds, 'in_flight', s.in_flight,
    'queued', s.queued, 'delivered', s.delivered, 'failed', s.failed, 'rate', s.rate)
    ORDER BY s.worker), '[]'))
FROM whisperer.status s)",
                                  {{"<reason>", in_words("s.reason")}});

}  // namespace

std::vector<Route> figure_routes() {
    return {
        {.method = "GET", .path = "/whisperer/session/", .statements = {Statement(session)}},
        {.method = "GET",
         .path = "/whisperer/hook_stats/",
         .parameters = {{"hook", Kind::Id}, {"cursor", Kind::Id}, {"limit", Kind::Limit}},
         .shape = Route::Shape::List,
         .handler = list_hook_stats},
        {.method = "GET",
         .path = "/whisperer/delivery_rate/",
         .parameters = {{"hook", Kind::Id}, {"hours", Kind::Hours}},
         .statements = {Statement(delivery_rate, Statement::Plan::ForValues)}},
        // Of all hooks together.
        {.method = "GET",
         .path = "/whisperer/status/",
         .statements = {Statement(status)},
         .is_of_portal = false},
    };
}

}  // namespace whisperer::gateway
