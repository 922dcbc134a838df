// /whisperer/hook_events/ and /whisperer/event_queue/: deliveries, and what is yet to become one.
#include "route.h"
#include "delivery_filter.h"
#include "lists.h"
#include "ordering.h"
#include "outcome.h"
#include "problem.h"
#include "text.h"
#include "words.h"

namespace whisperer::gateway {

namespace {

// An event's id begins with the milliseconds at which it was recorded: by that alone deliveries are
// dated, sorted and filtered, so that the primary key answers.
const char* const delivery_members = R"(
    'id', replace(d.event_id::text, '-', '') || '-' || d.hook_id,
    'uuid', replace(d.event_id::text, '-', ''), 'webhook', d.hook_id,
    'event_type', o.event_type, 'object_id', o.object_id,
    'state', d.state, 'delivered', d.state = 'delivered', 'retry_count', d.retry_count,
    'next_attempt_at', CASE WHEN d.state = 'pending' THEN nullif(d.next_attempt_at, 'infinity') END,
    'request_datetimes', d.request_datetimes,
    'response_http_status', d.response_http_status, 'response_content', d.response_content,
    'response_time', extract(epoch FROM d.response_time),
    'error', CASE WHEN d.state = 'pending'
                  THEN whisperer_internal.last_error(d.event_id, d.hook_id, d.error, d.error_code)
                  ELSE d.error END,
    'created_date', to_timestamp(
        ('x' || left(replace(d.event_id::text, '-', ''), 12))::bit(48)::bigint / 1000.0),
    'modified_date', d.modified_at)";

std::string list(std::string_view found) {
    return filled(R"(
SELECT json_build_object(<members>), <cursor>
FROM (SELECT d.* <found> AND <after> ORDER BY <order> LIMIT $16::integer) AS d
LEFT JOIN whisperer.outbox o ON <of_event>
ORDER BY <order>)",
                  {{"<found>", found},
                   {"<members>", delivery_members},
                   {"<of_event>", of_event},
                   {"<cursor>", cursor_of(delivery_id, "d")}});
}

// By its event's id a delivery is found at once.  In any other order all are looked at for a page.
Ordering ordering_of(const std::string& text) {
    return {text,
            Statement::Plan::ForValues,
            {"d", {"event_id", "hook_id"}, "$13::uuid, $14::bigint", "$15::text"},
            {{"id", ""},
             {"uuid", ""},
             {"created_date", ""},
             {"modified_date", time_key("d.modified_at")},
             {"webhook", number_key("d.hook_id")},
             {"delivered", "(d.state = 'delivered')::text"},
             {"response_http_status", number_key("d.response_http_status")},
             {"retry_count", number_key("d.retry_count")}},
            "-id"};
}

const Ordering& list_by_delivery() {
    static const Ordering ordering = ordering_of(list(matching_deliveries(false)));
    return ordering;
}
const Ordering& list_by_event() {
    static const Ordering ordering = ordering_of(list(matching_deliveries(true)));
    return ordering;
}

// Most pages are of all deliveries, or of one hook's, by their ids.  For these there are texts that
// have nothing but what is asked for, so that one plan is good for all values: planning takes
// longer than such a page.
std::string usual_list(bool has_cursor, bool is_of_hook, bool is_down) {
    return filled(
        R"(
SELECT json_build_object(<members>), <cursor>
FROM (SELECT d.*, NULL::text AS key FROM whisperer.delivery d WHERE <after> AND <of_hook>
      ORDER BY <order> LIMIT <most>) AS d
LEFT JOIN whisperer.outbox o ON <of_event>
ORDER BY <order> LIMIT $1::integer)",
        {{"<after>", !has_cursor ? "true"
                     : is_down   ? "(d.event_id, d.hook_id) < ($2::uuid, $3::bigint)"
                                 : "(d.event_id, d.hook_id) > ($2::uuid, $3::bigint)"},
         {"<of_hook>", !is_of_hook  ? "true"
                       : has_cursor ? "d.hook_id = $4::bigint"
                                    : "d.hook_id = $2::bigint"},
         {"<order>", is_down ? "d.event_id DESC, d.hook_id DESC" : "d.event_id, d.hook_id"},
         {"<members>", delivery_members},
         {"<of_event>", of_event},
         {"<most>", std::to_string(limit_max + 1)},  // what the planner goes by
         {"<cursor>", cursor_of(delivery_id, "d")}});
}

// By whether there is a cursor, whether it is of one hook, and the direction.
const Statement& usual_statement(bool has_cursor, bool is_of_hook, bool is_down) {
    static const auto all = [] {
        std::vector<Statement> made;
        for (int which = 0; which < 8; which++)
            made.emplace_back(usual_list((which & 1) != 0, (which & 2) != 0, (which & 4) != 0),
                              Statement::Plan::KeptInOrder);
        return made;
    }();
    return all[static_cast<std::size_t>(has_cursor) + (is_of_hook ? 2 : 0) + (is_down ? 4 : 0)];
}

// values: filters, cursor and limit.
bool is_usual(const std::vector<Value>& values, const std::string& ordering) {
    for (std::size_t i = 0; i < delivery_filter_count; i++)
        if (values[i] && i != hook_filter)
            return false;
    return !values[delivery_filter_count + 2] && list_by_delivery().is_by_id(ordering);
}

Rows usual_page(const Call& call, bool is_down) {
    const Value& hook = call.values[hook_filter];
    const Value& event = call.values[delivery_filter_count];
    std::vector<Value> with{call.values.back()};
    if (event)
        with.insert(with.end(), {event, call.values[delivery_filter_count + 1]});
    if (hook)
        with.push_back(hook);
    return call.run({&usual_statement(event.has_value(), hook.has_value(), is_down), 1}, with);
}

Answer list_deliveries(Call& call) {
    const Value ordering = call.values[delivery_filter_count];
    call.values.erase(call.values.begin() + delivery_filter_count);
    const std::string asked = ordering.value_or("-id");
    const Order order{delivery_filter_count, is_descending(asked)};
    return list_of_each(call, order, [&](Call& one) {
        if (!may_have(one, one.values[hook_filter]))
            return Rows(nullptr);
        if (is_usual(one.values, asked))
            return usual_page(one, order.is_down);
        find_event_types(one, one.values[event_type_filter]);
        const Ordering& all = is_by_event(one) ? list_by_event() : list_by_delivery();
        const Statement& statement = all.statement(ordering, one.values[12], one.values[14]);
        return one.run({&statement, 1});
    });
}

// What is larger is not shown beside the rest, but has a place of its own.
const char* const payload_shown_max = "262144";

const char* const detail = R"(
SELECT json_build_object(<members>,
       'payload', CASE WHEN p.bytes <= <shown_max> THEN o.data END, 'payload_bytes', p.bytes,
       'payload_link', CASE WHEN p.bytes > <shown_max> THEN 'payload/' END, 'attempts', (
           SELECT coalesce(json_agg(json_build_object(
                      'number', a.number, 'requested_at', a.requested_at,
                      'response_http_status', a.response_http_status,
                      'response_content', a.response_content,
                      'response_time', extract(epoch FROM a.response_time), 'error', a.error)
                  ORDER BY a.number), '[]')
           FROM whisperer.attempt a WHERE a.event_id = d.event_id AND a.hook_id = d.hook_id),
       'why', <why>, 'meta', o.meta, 'expunged', o.id IS NOT NULL AND o.data IS NULL)
FROM whisperer.delivery d LEFT JOIN whisperer.outbox o ON <of_event>,
     LATERAL (SELECT octet_length(o.data::text) AS bytes OFFSET 0) AS p
WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)";

// As UTF-8, which it is sent in.
const std::string payload_bytes = filled(R"(
SELECT octet_length(convert_to(o.data::text, 'UTF8'))
FROM whisperer.delivery d JOIN whisperer.outbox o ON <of_event>
WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)",
                                         {{"<of_event>", of_event}});

// What would be sent now: of what was sent before, only what a transform made is kept.  The times
// tell whether the two may differ.
const char* const request = R"(
SELECT json_build_object('method', 'POST', 'url', p.target_url, 'headers', p.headers,
                         'body', CASE WHEN octet_length(p.body) <= <shown_max> THEN p.body END,
                         'body_bytes', octet_length(p.body),
                         'last_sent_at', d.request_datetimes[cardinality(d.request_datetimes)],
                         'hook_modified_at', h.modified_at)
FROM whisperer.delivery d JOIN whisperer.preview($1::uuid) p ON p.hook_id = d.hook_id
JOIN whisperer.hook h ON h.id = d.hook_id
WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)";

constexpr int piece_characters = 1024 * 1024;

const std::string payload_piece = filled(R"(
SELECT substr(o.data::text, $3::integer, 1048576)
FROM whisperer.delivery d JOIN whisperer.outbox o ON <of_event>
WHERE d.event_id = $1::uuid AND d.hook_id = $2::bigint)",
                                         {{"<of_event>", of_event}});

// Empty: it is no longer there.
std::string piece_of_payload(const Call& call, int first_character) {
    static const Statement look[] = {Statement(payload_piece)};
    const Value with[] = {call.values[0], call.values[1], std::to_string(first_character)};
    const Rows rows = call.run(look, with);
    return rows.count() == 0 ? std::string() : std::string(rows.text(0, 0));
}

// Piece by piece, as the client takes it, so that nobody holds all of it.
Answer payload(Call& call) {
    static const Statement look[] = {Statement(payload_bytes)};
    const Rows rows = call.run(look);
    if (rows.count() == 0)
        throw not_found("there is no such event any more");
    if (rows.is_null(0, 0))
        throw not_found("the data of the event has been expunged");
    const std::size_t bytes = std::stoul(std::string(rows.text(0, 0)));
    Answer answer;
    answer.body = piece_of_payload(call, 1);
    if (answer.body.size() >= bytes)
        return answer;
    answer.length = bytes;
    call.pieces = Pieces{bytes - answer.body.size(), [next = 1](const Call& later) mutable {
                             next += piece_characters;
                             return piece_of_payload(later, next);
                         }};
    return answer;
}

const std::string queue =
    filled(R"(
SELECT json_build_object('uuid', replace(q.event_id::text, '-', ''), 'event_type', q.event_type,
                         'object_id', q.object_id, 'created_date', q.created_at), <cursor>
FROM (SELECT q.*, <key> AS key FROM whisperer.event_queue q) AS q
WHERE ($1::text[] IS NULL OR q.event_type = ANY ($1)) AND <after>
ORDER BY <order> LIMIT $4::integer)",
           {{"<cursor>", cursor_of("replace(q.event_id::text, '-', '')", "q")}});

// An event's created_date is when its transaction began, which its id does not say.
const Ordering& order_of_queue() {
    static const Ordering ordering(
        queue, Statement::Plan::Kept, {"q", {"event_id"}, "$2::uuid", "$3::text"},
        {{"id", ""}, {"uuid", ""}, {"created_date", time_key("q.created_at")}}, "id");
    return ordering;
}

Answer list_queue(Call& call) {
    const Value ordering = call.values[1];
    call.values.erase(call.values.begin() + 1);
    return list_of_each(call, {1, is_descending(ordering.value_or("id"))}, [&](Call& one) {
        find_event_types(one, one.values[0]);
        const Statement& statement =
            order_of_queue().statement(ordering, one.values[1], one.values[2]);
        return one.run({&statement, 1});
    });
}

// dj-whisperer has the plural.
Route queue_route(const std::string& path) {
    return {.method = "GET",
            .path = path,
            .parameters = {{"event_type", Kind::Text},
                           {"ordering", Kind::Choice, order_of_queue().choices()},
                           {"cursor", Kind::EventCursor},
                           {"limit", Kind::Limit}},
            .shape = Route::Shape::List,
            .handler = list_queue,
            .is_of_each = true};
}

}  // namespace

std::vector<Route> event_routes() {
    std::vector<Parameter> listed = delivery_filters();
    listed.insert(listed.end(), {{"ordering", Kind::Choice, list_by_delivery().choices()},
                                 {"cursor", Kind::DeliveryCursor},
                                 {"limit", Kind::Limit}});
    const Parameter id{"id", Kind::DeliveryId};
    return {
        {.method = "GET",
         .path = "/whisperer/hook_events/",
         .parameters = std::move(listed),
         .shape = Route::Shape::List,
         .handler = list_deliveries,
         .is_of_each = true},
        {.method = "GET",
         .path = "/whisperer/hook_events/{id}/",
         .parameters = {id},
         .statements = {Statement(
             filled(detail, {{"<members>", delivery_members},
                             {"<of_event>", of_event},
                             {"<shown_max>", payload_shown_max},
                             {"<why>", in_words("whisperer.why(d.event_id, d.hook_id)")}}))},
         .what = "delivery"},
        {.method = "GET",
         .path = "/whisperer/hook_events/{id}/payload/",
         .parameters = {id},
         .handler = payload},
        {.method = "GET",
         .path = "/whisperer/hook_events/{id}/request/",
         .parameters = {id},
         .statements = {Statement(filled(request, {{"<shown_max>", payload_shown_max}}))},
         .what = "request any more"},
        {.method = "POST",
         .path = "/whisperer/hook_events/{id}/retry/",
         .parameters = {id},
         .body = BodyRules{{{"force", Type::Boolean}}, false, true},
         .what = "delivery",
         .handler = retry,
         .waits = true},
        queue_route("/whisperer/event_queue/"),
        queue_route("/whisperer/event_queues/"),
    };
}

}  // namespace whisperer::gateway
