// /whisperer/api_tokens/: the tokens of one's roles, made and revoked.  A token is in the answer
// that makes it and nowhere else: no statement, no address and no log has it.
#include "route.h"
#include "authentication.h"
#include "problem.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

const char* const token_members = R"('id', t.id, 'role', t.role_name, 'description', t.description,
    'kind', t.kind, 'created_at', t.created_at, 'expires_at', t.expires_at,
    'last_used_at', t.last_used_at, 'revoked_at', t.revoked_at)";

const std::string list = filled(R"(
SELECT json_build_object(<members>), t.id
FROM (SELECT a.*, pg_get_userbyid(a.role::oid) AS role_name FROM whisperer.api_token a) AS t
WHERE ($1::boolean IS NULL OR $1 = (t.revoked_at IS NULL
                                    AND coalesce(t.expires_at, 'infinity') > clock_timestamp()))
  AND ($2::bigint IS NULL OR t.id < $2)
ORDER BY t.id DESC LIMIT $3::integer)",
                                {{"<members>", token_members}});

// $1: the body, $2: the id of the token that asks; no row: it has just been revoked.  Whoever got
// hold of a token that ends must not have, by making others, one that does not: so they end with it
// at the latest.  A role that the gateway cannot take on would be let in nowhere.
const char* const ends = R"(
SELECT mine.ends_at, asked.ends_at > mine.ends_at, asked.ends_at <= clock_timestamp(),
       EXISTS (SELECT FROM pg_roles r
               WHERE r.rolname = coalesce($1::jsonb->>'role', current_user)
                 AND pg_has_role(r.oid, 'MEMBER') AND pg_has_role(session_user, r.oid, 'MEMBER'))
FROM (SELECT coalesce(t.expires_at, 'infinity') AS ends_at FROM whisperer.api_token t
      WHERE t.id = $2::bigint AND t.revoked_at IS NULL) AS mine,
     LATERAL (SELECT coalesce(($1::jsonb->>'expires_at')::timestamptz, mine.ends_at) AS ends_at)
         AS asked)";

// $2: the end of the token that asks.
const std::string create = filled(R"(
SELECT json_build_object('token', t.token, <members>)
FROM (SELECT m.token, split_part(m.token, '_', 2)::bigint AS id, r.rolname AS role_name,
             b->>'description' AS description, 'api' AS kind, now() AS created_at, e.expires_at,
             NULL::timestamptz AS last_used_at, NULL::timestamptz AS revoked_at
      FROM (SELECT $1::jsonb AS b) AS given
      JOIN pg_roles r ON r.rolname = coalesce(b->>'role', current_user),
      LATERAL (SELECT nullif(coalesce((b->>'expires_at')::timestamptz, $2::timestamptz),
                             'infinity') AS expires_at) AS e,
      LATERAL (SELECT whisperer.create_api_token(r.oid::regrole, b->>'description',
                                                 e.expires_at) AS token OFFSET 0) AS m) AS t)",
                                  {{"<members>", token_members}});

Answer create_token(Call& call) {
    static const Statement look[] = {Statement(ends)};
    static const Statement make[] = {Statement(create)};
    const Value asking[] = {call.values[0], Authentication::id_of(call.request)};
    const Rows ending = call.run(look, asking);
    if (ending.count() == 0)
        throw Problem{401, "unauthorized", "a valid token is needed"};
    if (ending.text(0, 3) != "t") {
        Problem problem{403, "forbidden", "you may make no tokens of this role"};
        problem.errors["role"].push_back(problem.message);
        throw problem;
    }
    if (ending.text(0, 2) == "t")
        throw bad_field("expires_at", "is in the past");
    if (ending.text(0, 1) == "t")
        throw bad_field("expires_at", "must not be after the end of the token that you use: " +
                                          std::string(ending.text(0, 0)));
    const Value with[] = {call.values[0], std::string(ending.text(0, 0))};
    return {201, std::string(call.run(make, with).text(0, 0))};
}

}  // namespace

std::vector<Route> token_routes() {
    return {
        {.method = "GET",
         .path = "/whisperer/api_tokens/",
         .parameters = {{"is_active", Kind::Boolean}, {"cursor", Kind::Id}, {"limit", Kind::Limit}},
         .shape = Route::Shape::List,
         .statements = {Statement(list)},
         .what = "token",
         .is_of_portal = false},
        {.method = "POST",
         .path = "/whisperer/api_tokens/",
         .body = BodyRules{{{"description", Type::Text, true},
                            {"role", Type::Text},
                            {"expires_at", Type::Time}}},
         .what = "token",
         .handler = create_token,
         .is_of_portal = false},
        {.method = "DELETE",
         .path = "/whisperer/api_tokens/{id}/",
         .parameters = {{"id", Kind::Id}},
         .shape = Route::Shape::Nothing,
         .status = 204,
         .statements = {Statement("SELECT whisperer.revoke_api_token($1::bigint)")},
         .what = "token",
         .is_of_portal = false}};
}

}  // namespace whisperer::gateway
