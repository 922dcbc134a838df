// Waiting for what the worker does; see outcome.h.
#include "outcome.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "problem.h"

namespace whisperer::gateway {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds ping_time{15};
constexpr std::chrono::seconds retry_time{10};
constexpr milliseconds first_pause{10};
constexpr milliseconds longest_pause{250};

// Looks until the first column is true or the time is up, and gives the second column, as JSON, of
// the last look.
std::string wait_for(const Call& call, std::span<const Statement> look, std::span<const Value> with,
                     std::chrono::seconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    for (milliseconds pause = first_pause;; pause = std::min(pause * 2, longest_pause)) {
        std::this_thread::sleep_for(pause);
        const Rows rows = call.pool.run({.role = call.role,
                                         .is_read_only = true,
                                         .is_repeatable = true,
                                         .statements = look,
                                         .values = with});
        const bool is_late = std::chrono::steady_clock::now() >= deadline;
        if (rows.count() == 1 && (rows.text(0, 0) == "t" || is_late))
            return std::string(rows.text(0, 1));
        if (is_late)
            throw not_found("there is no such delivery");
    }
}

const Statement record_ping[] = {Statement("SELECT whisperer.record_ping($1::bigint)")};

// $1: hook, $2: event.  Without a row in the ledger the ping is on its way.
const Statement look_at_ping[] = {Statement(R"(
SELECT coalesce(d.state <> 'pending', false), json_build_object(
    'ok', coalesce(d.state = 'delivered', false), 'http_status', d.response_http_status,
    'response_time', extract(epoch FROM d.response_time), 'response_content', d.response_content,
    'error', CASE WHEN d.state <> 'pending' THEN d.error
                  ELSE 'no result yet: ' || whisperer.why($2::uuid, $1::bigint) END)
FROM whisperer.hook h LEFT JOIN whisperer.delivery d ON d.hook_id = h.id AND d.event_id = $2::uuid
WHERE h.id = $1::bigint)")};

// $1: event, $2: hook, $3: body.  The count of attempts before, to know the next one by.
const Statement queue_retry[] = {Statement(R"(
SELECT d.retry_count,
       whisperer.retry(d.event_id, d.hook_id, coalesce(($3::jsonb->>'force')::boolean, false))
FROM whisperer.delivery d WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)")};

// $3: attempts before.  A hook that is not active makes no attempt, and there is nothing to wait
// for.
const Statement look_at_retry[] = {Statement(R"(
SELECT d.retry_count > $3::integer OR (h.state <> 'active' AND d.state = 'pending'),
       json_build_object(
    'detail', CASE WHEN d.retry_count <= $3::integer AND d.state <> 'pending'
                   THEN 'still pending: the worker has not taken it up yet'
                   WHEN d.retry_count <= $3::integer
                   THEN 'still pending: ' || whisperer.why(d.event_id, d.hook_id)
                   WHEN d.state = 'delivered' THEN 'delivered'
                   ELSE 'not delivered: ' || coalesce(d.error, d.state) END,
    'response_status', CASE WHEN d.retry_count > $3::integer THEN d.response_http_status END,
    'response_content', CASE WHEN d.retry_count > $3::integer THEN d.response_content END,
    'response_time',
    CASE WHEN d.retry_count > $3::integer THEN extract(epoch FROM d.response_time) END,
    'delivered', d.retry_count > $3::integer AND d.state = 'delivered')
FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id
WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)")};

}  // namespace

Answer ping(Call& call) {
    const Rows recorded = call.run(record_ping);
    const Value with[] = {call.values[0], std::string(recorded.text(0, 0))};
    return {200, wait_for(call, look_at_ping, with, ping_time), "application/json", {}};
}

Answer retry(Call& call) {
    const Rows queued = call.run(queue_retry);
    if (queued.count() == 0)
        throw not_found("there is no such delivery");
    const Value with[] = {call.values[0], call.values[1], std::string(queued.text(0, 0))};
    return {200, wait_for(call, look_at_retry, with, retry_time), "application/json", {}};
}

}  // namespace whisperer::gateway
