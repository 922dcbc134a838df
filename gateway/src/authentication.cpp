// Tokens and their roles; see authentication.h.
#include "authentication.h"

#include <openssl/sha.h>

#include <algorithm>

#include "log.h"
#include "problem.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

constexpr std::chrono::seconds fresh_for{3};
// A client that mistyped a token may go on with a good one that it used within this time.
constexpr std::chrono::hours known_for{1};
constexpr std::size_t known_max = 10'000;

// That a token was used is noted, and need not have reached a standby before anybody is let in.
const Statement role_of_token[] = {
    Statement("SELECT set_config('synchronous_commit', 'off', true)"), Statement(R"(
SELECT t.role, coalesce(m.most, 0),
       format('ALTER ROLE %I %sSET whisperer.max_requests_per_second = %s;', t.role,
           CASE WHEN m.of_database THEN format('IN DATABASE %I ', current_database()) END,
           least(m.most::bigint * 2, 1000000))
FROM (SELECT whisperer.api_token_role($1) AS role OFFSET 0) AS t
LEFT JOIN LATERAL whisperer_internal.max_requests_of(to_regrole(quote_ident(t.role))) AS m
          ON true
WHERE t.role IS NOT NULL)")};

Problem no_token() {
    return {401, "unauthorized", "a valid token is needed"};
}

// "Token <t>" or "Bearer <t>"; empty: neither.
std::string_view token_of(std::string_view authorization) {
    const std::size_t space = authorization.find(' ');
    if (space == std::string_view::npos)
        return {};
    const std::string scheme = to_lower(authorization.substr(0, space));
    return scheme == "token" || scheme == "bearer" ? trimmed(authorization.substr(space))
                                                   : std::string_view{};
}

constexpr std::string_view prefix = "what_";
constexpr std::string_view portal_prefix = "whap_";  // of the same length

// What is not even of the form what_<id>_<43 characters> is not asked for.
bool may_be_token(std::string_view token) {
    if (!(token.starts_with(prefix) || token.starts_with(portal_prefix)) || token.size() > 100)
        return false;
    token.remove_prefix(prefix.size());
    const std::size_t underscore = token.find('_');
    return underscore != std::string_view::npos && token.size() - underscore == 44 &&
           std::all_of(token.begin(), token.end(), [](char c) {
               return is_letter_or_digit(static_cast<unsigned char>(c)) || c == '_' || c == '-';
           });
}

std::string id_in(std::string_view token) {
    return std::string(token.substr(prefix.size(), token.find('_', prefix.size()) - prefix.size()));
}

// An operator who forgot to grant a role to the gateway's, or to tell somebody of an end, finds the
// token by its id, which is no secret.  PostgreSQL does not say which of these it is.
void note_refused(std::string_view token, const std::string& request_id) {
    const std::string id = id_in(token);
    if (!id.empty() && std::all_of(id.begin(), id.end(), is_digit))
        log_event("a token is refused",
                  "token " + id +
                      " is unknown or has ended, or its role is not granted to the gateway's role",
                  request_id);
}

std::string hash_of(std::string_view token) {
    std::string hash(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
           reinterpret_cast<unsigned char*>(hash.data()));
    return hash;
}

}  // namespace

std::string Authentication::key_of(const Request& request) {
    return hash_of(token_of(request.authorization));
}

bool Authentication::is_portal(const Request& request) {
    return token_of(request.authorization).starts_with(portal_prefix);
}

std::string Authentication::id_of(const Request& request) {
    return id_in(token_of(request.authorization));
}

Caller Authentication::caller_of(const Request& request, const std::string& client) {
    if (request.authorization.empty())
        throw no_token();
    const auto now = std::chrono::steady_clock::now();
    const std::string_view token = token_of(request.authorization);
    const std::string hash = hash_of(token);
    const Remembered before = remembered(hash, now);
    if (before.is_fresh)
        return before.caller;
    // Who shares the address of an attacker goes on with a token that was good a while ago.
    const int wait_s = before.caller.role.empty() ? throttle_.wait_s(client, now) : 0;
    if (wait_s > 0) {
        Problem problem{429, "too_many_failures", "too many failed tries from your address"};
        problem.retry_after_s = wait_s;
        throw problem;
    }
    if (may_be_token(token)) {
        const Caller caller = look_up(token);
        if (!caller.role.empty()) {
            remember(hash, caller, now);
            return caller;
        }
        note_refused(token, request.id);
    }
    forget(request);
    throttle_.note_failure(client, now);
    throw no_token();
}

Caller Authentication::look_up(std::string_view token) {
    const Value values[] = {std::string(token)};
    try {
        const Rows rows =
            pool_.run({.is_repeatable = true, .statements = role_of_token, .values = values});
        if (rows.count() == 0)
            return {};
        return {std::string(rows.text(0, 0)), std::stoi(std::string(rows.text(0, 1))),
                std::string(rows.text(0, 2))};
    } catch (const DatabaseError& error) {
        log_event("tokens cannot be looked up", error.sqlstate + ": " + error.message);
        throw unavailable("tokens cannot be looked up", 5);
    }
}

void Authentication::forget(const Request& request) {
    const std::lock_guard lock(mutex_);
    known_.erase(key_of(request));
}

Authentication::Remembered Authentication::remembered(const std::string& hash, Time now) {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(hash);
    if (found == known_.end() || now - found->second.checked_at > known_for)
        return {};
    return {found->second.caller, now - found->second.checked_at < fresh_for};
}

void Authentication::remember(const std::string& hash, const Caller& caller, Time now) {
    const std::lock_guard lock(mutex_);
    if (known_.size() >= known_max)
        std::erase_if(
            known_, [now](const auto& entry) { return now - entry.second.checked_at > fresh_for; });
    // Each is in use: then each is asked for more often.
    if (known_.size() >= known_max)
        known_.clear();
    known_[hash] = {caller, now};
}

}  // namespace whisperer::gateway
