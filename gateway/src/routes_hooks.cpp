// /whisperer/hooks/: subscriptions and what is done with one.
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

// is_active is as in dj-whisperer, which kept inactive hooks: whether it delivers.  The column of
// that name says whether it is deleted.
const std::string hook_object = filled(R"(json_build_object(
    'id', h.id, 'event_type', h.event_type, 'target_url', h.target_url,
    'state', h.state, 'state_reason', <state_reason>,
    'is_active', h.state = 'active', 'is_paused', h.is_paused,
    'config', h.config, 'filter', h.filter, 'transform', h.transform, 'callback', h.callback,
    'retry_countdown_config', h.retry_countdown_config, 'rate_limit', h.rate_limit,
    'ordering', h.ordering, 'description', h.description,
    'format', h.format, 'payload_key', h.payload_key,
    'signing', h.signing, 'signatures', h.signatures,
    'metadata_headers', h.metadata_headers,
    'timeout', extract(epoch FROM h.timeout), 'max_in_flight', h.max_in_flight,
    'name', h.name,
    'batch', h.batch, 'encoding', h.encoding, 'priority', h.priority,
    'owner', pg_get_userbyid(h.owner::oid), 'created_at', h.created_at,
    'modified_at', h.modified_at,
    'created_date', h.created_at, 'modified_date', h.modified_at))",
                                       {{"<state_reason>", in_words("h.state_reason")}});

std::string with_hook(std::string_view text) {
    return filled(std::string(text), {{"<hook>", hook_object}});
}

const char* const hook_by_id = "SELECT <hook> FROM whisperer.hook h WHERE h.id = $1::bigint";

// In another database than the first it may be a copy of a hook of the first.
Answer get_hook(Call& call) {
    static const Statement here[] = {Statement(with_hook(hook_by_id))};
    static const Statement elsewhere[] = {Statement(with_hook(R"(
SELECT left(<hook>::text, -1) || ', "is_copy" : ' || whisperer_internal.is_hook_fed(h.id) || '}'
FROM whisperer.hook h WHERE h.id = $1::bigint)"))};
    const Rows rows = call.run(call.database == 0 ? here : elsewhere);
    if (rows.count() == 0)
        throw not_found("there is no such hook");
    return {200, std::string(rows.text(0, 0))};
}

// The hook, and its secret if the condition holds: then one was made, and nobody has seen it yet.
std::string hook_with_secret(std::string_view condition, std::string_view id) {
    return filled(R"(
SELECT CASE WHEN <condition>
            THEN left(<hook>::text, -1) || ', "secret_key" : '
                 || to_json(whisperer.hook_secret(h.id)) || '}'
            ELSE <hook>::text END
FROM whisperer.hook h WHERE h.id = <id>::bigint)",
                  {{"<condition>", condition}, {"<hook>", hook_object}, {"<id>", id}});
}

// Carries the new id from one statement of the transaction to the next.
const char* const create = R"(
SELECT set_config('gateway.hook', whisperer.create_hook(
    event_type => b->>'event_type', target_url => b->>'target_url', secret_key => b->>'secret_key',
    additional_headers => nullif(b->'additional_headers', 'null'),
    config => nullif(b->'config', 'null'),
    retry_countdown_config => nullif(b->'retry_countdown_config', 'null'),
    callback => b->>'callback',
    filter => nullif(b->'filter', 'null'), transform => b->>'transform',
    description => b->>'description',
    rate_limit => (b->>'rate_limit')::double precision, ordering => b->>'ordering',
    format => b->>'format', payload_key => b->>'payload_key',
    signing => nullif(b->'signing', 'null'),
    signatures => whisperer_internal.names_from(b->'signatures', 'signatures'),
    metadata_headers => whisperer_internal.names_from(b->'metadata_headers', 'metadata_headers'),
    timeout => make_interval(secs => (b->>'timeout')::double precision),
    max_in_flight => (b->>'max_in_flight')::integer, name => b->>'name',
    batch => nullif(b->'batch', 'null'), encoding => b->>'encoding',
    priority => b->>'priority')::text, true)
FROM (SELECT $1::jsonb AS b) AS given)";

// What a PUT leaves out is as if it had never been said; secrets stay, for nobody can read them
// back.
const char* const replace = R"(
SELECT whisperer.update_hook($1::bigint,
    '{"config": null, "retry_countdown_config": null, "callback": null, "filter": null,
      "transform": null, "rate_limit": null, "ordering": null, "description": null,
      "format": null, "payload_key": null, "signing": null, "signatures": null,
      "metadata_headers": null, "timeout": null, "max_in_flight": null,
      "name": null, "batch": null, "encoding": null, "priority": null}'::jsonb
    || ($2::jsonb - '{id,state,state_reason,is_active,is_paused,owner,created_at,modified_at,
                      created_date,modified_date}'::text[])))";

// What clients of dj-whisperer write.  It kept an inactive hook, so this pauses; what GET gives has
// is_paused beside it, and changes nothing when it comes back.
const char* const set_active = R"(
SELECT CASE $2::jsonb->>'is_active' WHEN 'false' THEN whisperer.pause_hook($1::bigint)
                                    WHEN 'true' THEN whisperer.resume_hook($1::bigint) END
WHERE NOT $2::jsonb ? 'is_paused')";

const char* const pause_new = R"(
SELECT whisperer.pause_hook(current_setting('gateway.hook')::bigint)
WHERE $1::jsonb->>'is_active' = 'false')";

// Texts match whatever their case, as with dj-whisperer.  Deleted hooks are for who asks for them.
const std::string list = filled(R"(
SELECT <hook>, <cursor>
FROM (SELECT h.*, <key> AS key FROM whisperer.hook h) AS h
WHERE ($1::text IS NULL OR lower(h.target_url) = lower($1))
  AND ($2::text IS NULL OR lower(h.event_type) = lower($2)
       OR lower($2) = ANY (string_to_array(lower(h.event_type), ', ')))
  AND ($3::boolean IS NULL OR (h.state = 'active') = $3)
  AND h.is_active = ($4::text IS DISTINCT FROM 'deleted') AND ($4 IS NULL OR h.state = $4)
  <whose> AND <after>
ORDER BY <order> LIMIT $7::integer)",
                                {{"<hook>", hook_object}, {"<cursor>", cursor_of("h.id", "h")}});

// Hooks are few, and no filter has an index: one plan does for all values.  A key that is cut short
// still places its hook, before or behind those of the same beginning by its id.
Ordering make_order(std::string_view whose, std::string_view begin_of) {
    const auto begin = [begin_of](std::string_view column) {
        return filled(std::string(begin_of), {{"<column>", column}});
    };
    return {filled(list, {{"<whose>", whose}}),
            Statement::Plan::Kept,
            {"h", {"id"}, "$5::bigint", "$6::text"},
            {{"id", ""},
             {"created_date", time_key("h.created_at")},
             {"modified_date", time_key("h.modified_at")},
             {"event_type", begin("h.event_type")},
             {"target_url", begin("h.target_url")},
             {"callback", begin("coalesce(h.callback, '')")},
             {"is_active", "(h.state = 'active')::text"}},
            "-id"};
}

const Ordering& order_of_hooks() {
    static const Ordering ordering = make_order("", "left(<column>, 500)");
    return ordering;
}

// Lists of several databases are put together by the bytes of the keys, and a cursor has one of
// each.  A delivery node's copies of its primary's hooks are left out.
const Ordering& order_of_hooks_among(bool is_beside) {
    static const char* const begin_of = R"(left(<column>, 100) COLLATE "C")";
    static const Ordering first = make_order("", begin_of);
    static const Ordering beside =
        make_order("AND NOT whisperer_internal.is_hook_fed(h.id)", begin_of);
    return is_beside ? beside : first;
}

Answer list_hooks(Call& call) {
    const Value ordering = call.values[4];
    call.values.erase(call.values.begin() + 4);
    const bool are_several = call.databases.are_several();
    return list_of_each(call, {4, is_descending(ordering.value_or("-id"))}, [&](Call& one) {
        const Ordering& order =
            are_several ? order_of_hooks_among(one.is_beside) : order_of_hooks();
        const Statement& statement = order.statement(ordering, one.values[4], one.values[5]);
        return one.run({&statement, 1});
    });
}

// Recovering an empty range queues nothing and checks all that the real call checks: so a dry run
// is refused when that would be.  It counts as recover does: until now means all that there is, and
// nothing is left to send of what was expunged.
const std::string recover = filled(R"(
SELECT json_build_object('count', CASE WHEN g.dry_run THEN
       whisperer.recover(h.id, g.since, least(g.since, g.until)) + (
           SELECT count(*) FROM whisperer.delivery d WHERE d.hook_id = h.id AND d.state = 'failed'
              AND d.event_id >= whisperer.event_id_bound(g.since)
              AND d.event_id < whisperer.event_id_bound(
                  CASE WHEN g.until < now() THEN g.until ELSE 'infinity' END)
              AND NOT EXISTS (
                  SELECT FROM whisperer.outbox o WHERE <of_event> AND o.data IS NULL))
       ELSE whisperer.recover(h.id, g.since, g.until) END, 'dry_run', g.dry_run)
FROM whisperer.hook h, (
    SELECT (b->>'since')::timestamptz AS since,
           coalesce((b->>'until')::timestamptz, clock_timestamp()) AS until,
           coalesce((b->>'dry_run')::boolean, false) AS dry_run
    FROM (SELECT $2::jsonb AS b) AS given OFFSET 0) AS g
WHERE h.id = $1::bigint)",
                                   {{"<of_event>", of_event}});

// The extension says in a notice how many it leaves out, which nobody here would see.
const char* const replay = R"(
SELECT json_build_object(
       'count', whisperer.replay($1::bigint, g.since, g.until, g.dry_run, g.new_ids),
       'expunged', whisperer_internal.expunged_within($1::bigint, g.since, g.until),
       'dry_run', g.dry_run)
FROM (
    SELECT (b->>'since')::timestamptz AS since,
           coalesce((b->>'until')::timestamptz, clock_timestamp()) AS until,
           coalesce((b->>'dry_run')::boolean, false) AS dry_run,
           coalesce((b->>'new_ids')::boolean, false) AS new_ids
    FROM (SELECT $2::jsonb AS b) AS given OFFSET 0) AS g)";

const char* const rotate = R"(
SELECT json_build_object('secret_key', whisperer.rotate_secret($1::bigint, b->>'new_secret',
    coalesce(make_interval(secs => (b->>'overlap')::double precision), '24 hours')))
FROM (SELECT $2::jsonb AS b) AS given)";

// Data of a recent event that the caller may see.  Looked for among the last transactions only, and
// once for all types: there is no index by type, and a type may have had no event for a long time.
// A large one is none to learn from.
const char* const registry = R"(
WITH recent AS MATERIALIZED (
    SELECT o.event_type, o.xid, o.id, o.slot FROM whisperer.outbox o
    WHERE o.data IS NOT NULL AND o.xid >= (greatest(
              pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 20000, 0))::text::xid8
    ORDER BY o.xid DESC, o.id DESC LIMIT 20000),
latest AS MATERIALIZED (
    SELECT DISTINCT ON (r.event_type) r.* FROM recent r
    ORDER BY r.event_type, r.xid DESC, r.id DESC)
SELECT json_build_object('name', t.name, 'description', t.description,
                         'owner', pg_get_userbyid(whisperer.event_type_owner(t.whole)),
                         'may_subscribe', whisperer.may(quote_ident(current_user)::regrole::oid,
                                                        t.name, 'subscribe'),
                         'schema', (t.whole).schema, 'example', (t.whole).example,
                         'on_invalid', (t.whole).on_invalid, 'sample', (
           SELECT CASE WHEN octet_length(o.data::text) <= 65536 THEN o.data END
           FROM latest l JOIN whisperer.outbox o
             ON o.xid = l.xid AND o.id = l.id AND o.slot = l.slot
           WHERE l.event_type = t.name)), t.name, to_json(t.name)
FROM (SELECT e AS whole, e.name, e.description FROM whisperer.event_type e
      WHERE $1::text IS NULL OR e.name > $1 ORDER BY e.name LIMIT $2::integer) AS t
ORDER BY t.name)";

// What a filter would let through of the latest events that the caller may see; as above, among the
// last transactions only.  The data is looked into when these have been chosen.
const char* const test_filter = R"(
SELECT json_build_object('results', coalesce(json_agg(json_build_object(
           'uuid', replace(e.id::text, '-', ''), 'event_type', e.event_type,
           'created_date', e.created_at, 'passes', e.passes) ORDER BY e.xid DESC, e.id DESC), '[]'))
FROM (SELECT l.*, whisperer.test_filter($1::jsonb->'filter', l.data) AS passes
      FROM (SELECT o.id, o.xid, o.event_type, o.created_at, o.data FROM whisperer.outbox o
            WHERE o.event_type NOT LIKE 'whisperer-%' AND o.data IS NOT NULL AND o.xid >= (greatest(
                      pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 20000, 0))::text::xid8
              AND EXISTS (
                  SELECT FROM unnest(string_to_array($1::jsonb->>'event_type', ',')) AS p (one),
                       LATERAL (SELECT btrim(p.one, E' \t\r\n')) AS t (name)
                  WHERE o.event_type = t.name
                     OR right(t.name, 1) = '*' AND starts_with(o.event_type, left(t.name, -1)))
            ORDER BY o.xid DESC, o.id DESC LIMIT 20) AS l
      UNION ALL
      -- Without an event a wrong filter is wrong all the same.
      SELECT NULL, NULL, NULL, NULL, NULL,
             whisperer.test_filter($1::jsonb->'filter', '{}') OFFSET 0) AS e
WHERE e.id IS NOT NULL)";

const std::vector<Member> written{
    {"event_type", Type::Text, true},
    {"target_url", Type::Text, true},
    {"secret_key", Type::Text},
    {"additional_headers", Type::Object},
    {"config", Type::Object},
    {"retry_countdown_config", Type::Object},
    {"callback", Type::Text},
    {"filter", Type::Anything},
    {"transform", Type::Text},
    {"description", Type::Text},
    {"rate_limit", Type::Number},
    {"ordering", Type::Text},
    {"format", Type::Text},
    {"payload_key", Type::Text},
    {"signing", Type::Object},
    {"signatures", Type::Anything},
    {"metadata_headers", Type::Anything},
    {"timeout", Type::Seconds},
    {"max_in_flight", Type::Integer},
    {"name", Type::Text},
    {"batch", Type::Object},
    {"encoding", Type::Text},
    {"priority", Type::Text},
    {"is_active", Type::Boolean},
};

// A PATCH has what it changes, and may clear neither of these two.
std::vector<Member> changed() {
    std::vector<Member> members = written;
    members.erase(members.begin(), members.begin() + 2);
    members.push_back({"event_type", Type::Text});
    members.push_back({"target_url", Type::Text});
    return members;
}

const Parameter id{"id", Kind::Id};
const char* const one_path = "/whisperer/hooks/{id}/";

Route action(const std::string& name, BodyRules body, std::vector<Statement> statements) {
    body.may_be_absent = true;
    return {.method = "POST",
            .path = one_path + name + "/",
            .parameters = {id},
            .body = std::move(body),
            .statements = std::move(statements)};
}

std::vector<Route> crud_routes() {
    using Shape = Route::Shape;
    const char* const secret_made = "$2::jsonb->'secret_key' = 'null'";
    return {
        {.method = "GET",
         .path = "/whisperer/hooks/",
         .parameters = {{"target_url", Kind::Text},
                        {"event_type", Kind::Text},
                        {"is_active", Kind::Boolean},
                        {"state", Kind::Choice, " active paused disabled deleted "},
                        {"ordering", Kind::Choice, order_of_hooks().choices()},
                        {"cursor", Kind::HookCursor},
                        {"limit", Kind::Limit}},
         .shape = Shape::List,
         .handler = list_hooks,
         .is_of_each = true},
        {.method = "POST",
         .path = "/whisperer/hooks/",
         .body = BodyRules{written},
         .status = 201,
         .statements = {Statement(create), Statement(pause_new),
                        Statement(hook_with_secret("$1::jsonb->>'secret_key' IS NULL",
                                                   "current_setting('gateway.hook')"))}},
        {.method = "GET",
         .path = "/whisperer/hooks/registry/",
         .parameters = {{"cursor", Kind::Text}, {"limit", Kind::Limit}},
         .shape = Shape::List,
         .statements = {Statement(registry)},
         .bare_column = 2},
        {.method = "POST",
         .path = "/whisperer/test_filter/",
         .body = BodyRules{{{"event_type", Type::Text, true}, {"filter", Type::Anything, true}}},
         .statements = {Statement(test_filter)}},
        {.method = "GET", .path = one_path, .parameters = {id}, .handler = get_hook},
        {.method = "PUT",
         .path = one_path,
         .parameters = {id},
         .body = BodyRules{written, true},
         .statements = {Statement(replace), Statement(set_active),
                        Statement(hook_with_secret(secret_made, "$1"))}},
        {.method = "PATCH",
         .path = one_path,
         .parameters = {id},
         .body = BodyRules{changed()},
         .statements = {Statement(
                            "SELECT whisperer.update_hook($1::bigint, $2::jsonb - 'is_active')"),
                        Statement(set_active), Statement(hook_with_secret(secret_made, "$1"))}},
        {.method = "DELETE",
         .path = one_path,
         .parameters = {id},
         .shape = Shape::Nothing,
         .status = 204,
         .statements = {Statement("SELECT whisperer.delete_hook($1::bigint)")}},
    };
}

}  // namespace

std::vector<Route> hook_routes() {
    std::vector<Route> routes = crud_routes();
    const BodyRules nothing{};
    const BodyRules range{
        {{"since", Type::Time, true}, {"until", Type::Time}, {"dry_run", Type::Boolean}}};
    BodyRules replayed = range;
    replayed.members.push_back({"new_ids", Type::Boolean});
    routes.push_back(action(
        "pause", nothing,
        {Statement("SELECT whisperer.pause_hook($1::bigint)"), Statement(with_hook(hook_by_id))}));
    routes.push_back(action(
        "resume", nothing,
        {Statement("SELECT whisperer.resume_hook($1::bigint)"), Statement(with_hook(hook_by_id))}));
    routes.push_back(action("rotate_secret",
                            {{{"new_secret", Type::Text}, {"overlap", Type::Seconds}}},
                            {Statement(rotate)}));
    routes.push_back(action("recover", range, {Statement(recover)}));
    routes.push_back(action("replay", replayed, {Statement(replay)}));
    routes.push_back(action("ping", {{{"event_type", Type::Text}}}, {}));
    routes.back().handler = ping;
    routes.back().waits = true;
    return routes;
}

}  // namespace whisperer::gateway
