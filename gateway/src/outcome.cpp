// Waiting for what the worker does; see outcome.h.
#include "outcome.h"

#include <charconv>
#include <chrono>
#include <string_view>

#include "problem.h"
#include "text.h"
#include "words.h"

namespace whisperer::gateway {

namespace {

constexpr std::chrono::seconds retry_time{10};

// And for how many seconds it is waited for: as long as its attempt may take, and a little for what
// comes before that; no longer than a proxy in front is told to wait (docs/operator.md).
const Statement record_ping[] = {Statement(R"(
SELECT p.event, least(greatest(5 + ceil(extract(epoch FROM coalesce(
           h.timeout, current_setting('whisperer.request_timeout')::interval))), 15), 75)::integer
FROM (SELECT whisperer.record_ping($1::bigint, $2::jsonb->>'event_type') AS event OFFSET 0) AS p
     LEFT JOIN whisperer.hook h ON h.id = $1::bigint)")};

const char* const all_is_paused =
    "(SELECT coalesce(bool_or(s.state = 'paused'), false) FROM whisperer.status s)";

// $1: hook, $2: event.  Without a row in the ledger the ping is on its way, unless all is paused.
const Statement look_at_ping[] = {Statement(filled(
    R"(
SELECT coalesce(d.state <> 'pending', <paused>), json_build_object(
    'ok', coalesce(d.state = 'delivered', false), 'http_status', d.response_http_status,
    'response_time', extract(epoch FROM d.response_time), 'response_content', d.response_content,
    'error', CASE WHEN d.state <> 'pending' THEN d.error
                  ELSE 'no result yet: ' || <why> END)
FROM whisperer.hook h LEFT JOIN whisperer.delivery d ON d.hook_id = h.id AND d.event_id = $2::uuid
WHERE h.id = $1::bigint)",
    {{"<paused>", all_is_paused}, {"<why>", in_words("whisperer.why($2::uuid, $1::bigint)")}}))};

// $1: event, $2: hook, $3: body.  What to know the retry's own attempt by: the count of attempts
// before it, and the time.
const Statement queue_retry[] = {Statement(R"(
SELECT d.retry_count, clock_timestamp(),
       whisperer.retry(d.event_id, d.hook_id, coalesce(($3::jsonb->>'force')::boolean, false))
FROM whisperer.delivery d WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)")};

// $3: attempts before, $4: when it was asked for.  An attempt that was under way then comes to its
// end first; only then does the worker take the retry up, and round_start becomes the count of
// attempts at that moment.  So the retry's own attempt is one after round_start that began later
// than $4.  What has ended since without an attempt shows by modified_at alone.  A hook that is not
// active, or whose circuit is open, makes no attempt, nor does any while all delivery is paused,
// and there is nothing to wait for.  A slow attempt is counted before it has ended, and has no time
// in request_datetimes until then.
const Statement look_at_retry[] = {Statement(filled(
    R"(
SELECT l.is_tried OR l.is_given_up OR l.is_held OR l.is_paused, json_build_object(
    'detail', CASE WHEN l.is_tried AND d.state = 'delivered' THEN 'delivered'
                   WHEN l.is_tried THEN 'not delivered: ' || coalesce(d.error, 'the attempt failed')
                   WHEN l.is_given_up THEN 'not delivered: ' || coalesce(d.error, d.state)
                   WHEN l.is_paused THEN 'still pending: waits: all delivery is paused'
                   WHEN d.state <> 'pending'
                   THEN 'still pending: the worker has not taken it up yet'
                   WHEN l.is_under_way
                   THEN format('still pending: attempt %s is under way', d.retry_count)
                   ELSE 'still pending: ' || <why> END,
    'response_status', CASE WHEN l.is_tried THEN d.response_http_status END,
    'response_content', CASE WHEN l.is_tried THEN d.response_content END,
    'response_time', CASE WHEN l.is_tried THEN extract(epoch FROM d.response_time) END,
    'delivered', l.is_tried AND d.state = 'delivered')
FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id, LATERAL (SELECT
    d.round_start >= $3::integer AND d.retry_count > d.round_start
        AND coalesce(d.request_datetimes[cardinality(d.request_datetimes)] >= $4::timestamptz,
                     false) AS is_tried,
    d.state IN ('failed', 'cancelled') AND d.modified_at >= $4::timestamptz
        AND (h.state = 'deleted' OR d.round_start >= $3::integer AND d.retry_count = d.round_start)
        AS is_given_up,
    d.retry_count > cardinality(d.request_datetimes) AND d.error IS NULL
        AND d.next_attempt_at > clock_timestamp() AS is_under_way,
    d.state = 'pending' AND (h.state <> 'active' OR EXISTS (
        SELECT FROM whisperer.hook_stats s WHERE s.hook_id = h.id AND s.circuit = 'open'))
        AS is_held,
    <paused> AS is_paused) AS l
WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)",
    {{"<paused>", all_is_paused}, {"<why>", in_words("whisperer.why(d.event_id, d.hook_id)")}}))};

}  // namespace

Answer ping(Call& call) {
    const Rows recorded = call.run(record_ping);
    const std::string_view seconds = recorded.text(0, 1);
    int time_s = 0;
    std::from_chars(seconds.data(), seconds.data() + seconds.size(), time_s);
    call.wait = Wait{look_at_ping,
                     {call.values[0], std::string(recorded.text(0, 0))},
                     std::chrono::seconds(time_s)};
    return {};
}

Answer retry(Call& call) {
    const Rows queued = call.run(queue_retry);
    if (queued.count() == 0)
        throw not_found("there is no such delivery");
    call.wait = Wait{look_at_retry,
                     {call.values[0], call.values[1], std::string(queued.text(0, 0)),
                      std::string(queued.text(0, 1))},
                     retry_time};
    return {};
}

}  // namespace whisperer::gateway
