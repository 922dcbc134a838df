// Who one is, and how everything is doing.
#include "json_text.h"
#include "lists.h"
#include "problem.h"
#include "text.h"
#include "words.h"

namespace whisperer::gateway {

namespace {

const char* const session = R"(
SELECT json_build_object('role', current_user, 'version', e.extversion)
FROM pg_extension e WHERE e.extname = 'whisperer')";

// Times as seconds, and owner as its name.  page: ids, for only of these hooks the figures are
// made.  more: members.
std::string hook_stats(std::string_view page, std::string_view more) {
    return filled(
        R"(
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
    'without_key', s.without_key<more>), s.hook_id
FROM <page> AS p (hook_id),
     LATERAL (SELECT * FROM whisperer.hook_stats s WHERE s.hook_id = p.hook_id OFFSET 0) AS s
ORDER BY s.hook_id LIMIT $3::integer)",
        {{"<page>", page}, {"<more>", more}, {"<state_reason>", in_words("s.state_reason")}});
}

// In another database than the first it may be a copy of a hook of the first.
const char* const or_copy = ", 'is_copy', whisperer_internal.is_hook_fed(s.hook_id)";

std::string stats_of_hook(std::string_view more) {
    return hook_stats("(SELECT $1::bigint WHERE $2::bigint IS NULL OR $1 > $2)", more);
}

std::string stats_of_hooks(std::string_view which, std::string_view more) {
    return hook_stats(filled(R"((
    SELECT hook_id FROM whisperer.hook_stats s WHERE $1::bigint IS NULL
       AND ($2::bigint IS NULL OR hook_id > $2) AND <which> ORDER BY hook_id LIMIT $3::integer))",
                             {{"<which>", which}}),
                      more);
}

// $1: hook, $2: cursor, $3: limit.
Rows read_hook_stats(Call& call) {
    static const Statement first[] = {Statement(stats_of_hooks("true", ""))};
    static const Statement named[] = {Statement(stats_of_hooks("true", or_copy))};
    static const Statement beside[] = {Statement(stats_of_hooks(is_told_beside, or_copy))};
    static const Statement one_of_first[] = {Statement(stats_of_hook(""))};
    static const Statement one_elsewhere[] = {Statement(stats_of_hook(or_copy))};
    if (!may_have(call, call.values[0]))
        return Rows(nullptr);
    if (call.values[0])
        return call.run(call.database == 0 ? one_of_first : one_elsewhere);
    return call.run(call.database == 0 ? first : call.is_beside ? beside : named);
}

Answer list_hook_stats(Call& call) {
    return list_of_each(call, {1}, read_hook_stats);
}

const char* const rates_here = R"(
    SELECT minute, delivered, failed_attempts, failed, response_times FROM whisperer.delivery_rate
    WHERE minute > now() - make_interval(hours => $2::integer)
      AND ($1::bigint IS NULL OR hook_id = $1))";

// What rates_to_add of each database has given.
const char* const rates_of_all = R"(
    SELECT t.* FROM json_array_elements($1::json) AS one, json_to_recordset(one) AS t (
        minute timestamptz, delivered numeric, failed_attempts numeric, failed numeric,
        response_times bigint[]))";

// Of several hooks the counts by response time are added first: percentiles cannot be.
std::string delivery_rate(std::string_view rates, std::string_view shown) {
    return filled(R"(
SELECT <shown>
FROM (SELECT r.minute, sum(r.delivered) AS delivered, sum(r.failed_attempts) AS failed_attempts,
             sum(r.failed) AS failed, whisperer_internal.sum_counts(r.response_times) AS counts
      FROM (<rates>) AS r GROUP BY r.minute) AS m)",
                  {{"<rates>", rates}, {"<shown>", shown}});
}

const char* const as_results = R"(json_build_object('results', coalesce(json_agg(json_build_object(
    'minute', m.minute, 'delivered', m.delivered, 'failed_attempts', m.failed_attempts,
    'failed', m.failed,
    'response_time_p50', extract(epoch FROM whisperer.response_time_at(m.counts, 0.5)),
    'response_time_p95', extract(epoch FROM whisperer.response_time_at(m.counts, 0.95)))
    ORDER BY m.minute), '[]')))";

const char* const as_rates = R"(coalesce(json_agg(json_build_object(
    'minute', m.minute, 'delivered', m.delivered, 'failed_attempts', m.failed_attempts,
    'failed', m.failed, 'response_times', m.counts)), '[]'))";

// The rates of several databases are added in the first.
Answer delivery_rates(Call& call) {
    using Plan = Statement::Plan;
    static const Statement of_one[] = {
        Statement(delivery_rate(rates_here, as_results), Plan::ForValues)};
    static const Statement to_add[] = {
        Statement(delivery_rate(rates_here, as_rates), Plan::ForValues)};
    static const Statement of_all[] = {
        Statement(delivery_rate(rates_of_all, as_results), Plan::ForValues)};
    if (!call.databases.are_several())
        return {200, std::string(call.run(of_one).text(0, 0))};
    const std::vector<Said> all = ask_each(call, [](Call& one) {
        return may_have(one, one.values[0]) ? one.run(to_add) : Rows(nullptr);
    });
    std::string rates;
    for (const Said& said : all)
        if (said.rows && said.rows->count() > 0)
            rates.append(rates.empty() ? "" : ", ").append(said.rows->text(0, 0));
    const Value with[] = {"[" + rates + "]"};
    std::string body(call.run(of_all, with).text(0, 0));
    body.pop_back();
    return {200, body + unavailable_member(all) + "}"};
}

const std::string worker = filled(R"(json_build_object(
    'worker', s.worker, 'state', s.state, 'reason', <reason>, 'pid', s.pid, 'since', s.since,
    'lag_events', s.lag_events, 'lag_seconds', s.lag_seconds, 'in_flight', s.in_flight,
    'queued', s.queued, 'delivered', s.delivered, 'failed', s.failed, 'rate', s.rate))",
                                  {{"<reason>", in_words("s.reason")}});

Answer workers(Call& call) {
    static const Statement of_one[] = {Statement(filled(R"(
SELECT json_build_object('results', coalesce(json_agg(<worker> ORDER BY s.worker), '[]'))
FROM whisperer.status s)",
                                                        {{"<worker>", worker}}))};
    static const Statement each[] = {Statement(filled(
        "SELECT <worker> FROM whisperer.status s ORDER BY s.worker", {{"<worker>", worker}}))};
    if (!call.databases.are_several())
        return {200, std::string(call.run(of_one).text(0, 0))};
    const std::vector<Said> all = ask_each(call, [](Call& one) { return one.run(each); });
    std::string results;
    for (const Said& said : all)
        for (std::size_t row = 0; said.rows && row < said.rows->count(); row++)
            results.append(results.empty() ? "" : ",\n")
                .append(with_database(said.rows->text(row, 0), said.database));
    return {200, "{\"results\": [" + results + "]" + unavailable_member(all) + "}"};
}

// Beside who one is: what the databases are called.
Answer who(Call& call) {
    static const Statement look[] = {Statement(session)};
    const Rows rows = call.run(look);
    if (rows.count() == 0)
        throw not_found("there is no such hook");
    std::string body(rows.text(0, 0));
    if (!call.databases.are_several())
        return {200, body};
    std::string names;
    for (const std::string& name : call.databases.names())
        names.append(names.empty() ? "" : ", ").append(json_string(name));
    body.pop_back();
    return {200, body + ", \"databases\": [" + names + "]}"};
}

}  // namespace

std::vector<Route> figure_routes() {
    return {
        {.method = "GET", .path = "/whisperer/session/", .handler = who},
        {.method = "GET",
         .path = "/whisperer/hook_stats/",
         .parameters = {{"hook", Kind::Id}, {"cursor", Kind::Id}, {"limit", Kind::Limit}},
         .shape = Route::Shape::List,
         .handler = list_hook_stats,
         .is_of_each = true},
        {.method = "GET",
         .path = "/whisperer/delivery_rate/",
         .parameters = {{"hook", Kind::Id}, {"hours", Kind::Hours}},
         .handler = delivery_rates,
         .is_of_each = true},
        // Of all hooks together.
        {.method = "GET",
         .path = "/whisperer/status/",
         .handler = workers,
         .is_of_each = true,
         .is_of_portal = false},
    };
}

}  // namespace whisperer::gateway
