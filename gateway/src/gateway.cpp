// The life of a request; see gateway.h.
#include "gateway.h"

#include <algorithm>
#include <exception>

#include "database_problem.h"
#include "log.h"
#include "metrics.h"
#include "random_id.h"

namespace whisperer::gateway {

namespace {

std::vector<std::string> labels_of(const std::vector<Route>& routes) {
    std::vector<std::string> labels;
    for (const Route& route : routes)
        labels.push_back("method=\"" + route.method + "\",route=\"" + route.path + "\"");
    return labels;
}

// Who was refused may lack what every role of a token needs.  A client learns nothing of it.
void note_missing_right(Pool& pool, const std::string& role, const std::string& request_id) {
    static const Statement look[] = {Statement(R"(
SELECT has_schema_privilege(r.oid, n.oid, 'USAGE') FROM pg_roles r, pg_namespace n
WHERE r.rolname = $1 AND n.nspname = 'whisperer')")};
    const Value values[] = {role};
    try {
        const Rows rows = pool.run({.is_repeatable = true, .statements = look, .values = values});
        if (rows.count() == 1 && rows.text(0, 0) == "f")
            log_event("a right is missing", "role " + role + " lacks USAGE on schema whisperer",
                      request_id);
    } catch (const DatabaseError& error) {
        log_event("rights cannot be looked up", error.sqlstate + ": " + error.message, request_id);
    } catch (const Problem&) {
        // The pool has said why.
    }
}

}  // namespace

Rows Call::run(std::span<const Statement> statements, std::span<const Value> with) const {
    const bool reads = request.method == "GET" || request.method == "HEAD";
    return pool.run({.role = role,
                     .is_read_only = reads,
                     .is_repeatable = reads,
                     .statements = statements,
                     .values = with});
}

Answer list_answer(const Call& call, const Rows& rows) {
    // The limit is the last of the values, and one more than was asked for.
    const std::size_t most = std::stoul(*call.values.back()) - 1;
    const std::size_t shown = std::min(rows.count(), most);
    Answer answer;
    answer.body = "{\"results\": [";
    for (std::size_t row = 0; row < shown; row++)
        answer.body.append(row == 0 ? "" : ",\n").append(rows.text(row, 0));
    answer.body += "], \"next\": ";
    answer.body += rows.count() > most
                       ? "\"" + next_page(call.request, rows.text(shown - 1, 1)) + "\"}"
                       : "null}";
    return answer;
}

Gateway::Gateway(Pool& pool, Networks trusted_proxies)
    : pool_(pool),
      trusted_proxies_(std::move(trusted_proxies)),
      routes_([this] {
          std::vector<Route> all = hook_routes();
          for (std::vector<Route> some : {event_routes(), figure_routes(), open_routes()})
              std::move(some.begin(), some.end(), std::back_inserter(all));
          all.push_back({.method = "GET", .path = "/metrics", .handler = [this](Call& call) {
                             return metrics(call);
                         }});
          return all;
      }()),
      authentication_(pool),
      statistics_(labels_of(routes_)) {}

Reply Gateway::reply(Head head, const Address& peer, bool last) {
    Codec codec({[&](Request& request) { return answer(request, peer); },
                 [&](Request& request, const Problem& problem) {
                     request.address = peer.text();
                     return refusal(request, problem);
                 }});
    return codec.reply(std::move(head), last);
}

Reply Gateway::refuse(const Problem& problem, const Address& peer) {
    Request request;
    request.id = random_id();
    request.address = peer.text();
    return closing_reply(refusal(request, problem));
}

Answer Gateway::refusal(Request& request, const Problem& problem) {
    return finish(request, {answer_of(problem, request.id), {}, statistics_.no_route()}, {});
}

Answer Gateway::answer(Request& request, const Address& peer) {
    const auto begun = std::chrono::steady_clock::now();
    const Address client = client_of(peer, request.forwarded_for, trusted_proxies_);
    request.address = client.text();
    Outcome outcome = outcome_of(request, client.client());
    return finish(request, std::move(outcome), std::chrono::steady_clock::now() - begun);
}

Answer Gateway::finish(const Request& request, Outcome outcome,
                       std::chrono::steady_clock::duration took) {
    Answer& answer = outcome.answer;
    answer.headers.emplace_back("X-Request-Id", request.id);
    answer.headers.emplace_back("X-Content-Type-Options", "nosniff");
    if (std::none_of(answer.headers.begin(), answer.headers.end(),
                     [](const auto& header) { return header.first == "Cache-Control"; }))
        answer.headers.emplace_back("Cache-Control", "no-store");
    statistics_.count(outcome.route, answer.status, took);
    log_request(request, answer, outcome.role, took);
    return std::move(answer);
}

// Nothing is thrown from here on outwards.
Gateway::Outcome Gateway::outcome_of(Request& request, const std::string& client) {
    Outcome outcome{{}, {}, statistics_.no_route()};
    const Route* route = nullptr;
    try {
        Match found = match(request);
        route = found.route;
        outcome.route = static_cast<std::size_t>(route - routes_.data());
        if (route->access == Route::Access::Token)
            outcome.role = authentication_.role_of(request, client);
        Call call{request, *route, outcome.role, {}, std::move(found.path_parts), pool_};
        outcome.answer = run(call);
    } catch (const Problem& problem) {
        outcome.answer = answer_of(problem, request.id);
    } catch (const DatabaseError& error) {
        if (error.is_of_role && (error.sqlstate == "42501" || error.sqlstate == "22023")) {
            authentication_.forget(request);
            log_event("a right is missing", "role " + outcome.role + ": " + error.message,
                      request.id);
            outcome.answer =
                answer_of({401, "unauthorized", "a valid token is needed"}, request.id);
        } else {
            if (error.sqlstate == "42501")
                note_missing_right(pool_, outcome.role, request.id);
            outcome.answer = answer_of(problem_of(error, *route, request.id), request.id);
        }
    } catch (const std::exception& error) {
        log_event("error", error.what(), request.id);
        outcome.answer =
            answer_of({500, "internal_error", "something went wrong on the server"}, request.id);
    }
    return outcome;
}

Gateway::Match Gateway::match(const Request& request) const {
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    std::string allowed;
    // A path that is named as it is goes before one that is matched by a parameter.
    for (const bool with_parameters : {false, true}) {
        for (const Route& route : routes_) {
            std::vector<std::string> parts;
            if (!matches(route.path, request.path, parts) || parts.empty() == with_parameters)
                continue;
            if (route.method == method)
                return {&route, std::move(parts)};
            const std::string more = route.method == "GET" ? "GET, HEAD" : route.method;
            allowed += (allowed.empty() ? "" : ", ") + more;
        }
        if (!allowed.empty())
            break;
    }
    if (allowed.empty())
        throw not_found("there is nothing here");
    Problem problem{405, "method_not_allowed", "this resource does not know that method"};
    problem.allow = allowed;
    throw problem;
}

Answer Gateway::run(Call& call) {
    const Route& route = call.route;
    // What is open to everybody takes no parameters, and passes over those that monitors and
    // browsers put on; of a path that takes all that follows, the handler makes what it wants.
    if (route.access == Route::Access::Token)
        call.values = read_parameters(call.request, route.parameters, call.path_parts);
    if (route.body)
        call.values.emplace_back(read_body(call.request, *route.body));
    if (route.handler)
        return route.handler(call);
    const Rows rows = call.run(route.statements);
    if (route.shape == Route::Shape::List)
        return list_answer(call, rows);
    if (rows.count() == 0)
        throw not_found("there is no such " + route.what);
    Answer answer;
    answer.status = route.status;
    if (route.shape == Route::Shape::Object)
        answer.body = rows.text(0, 0);
    return answer;
}

Answer Gateway::metrics(Call& call) {
    return {200,
            metrics_text(call, statistics_, connections_()),
            "text/plain; version=0.0.4; charset=utf-8",
            {}};
}

bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& parts) {
    while (!pattern.empty()) {
        const std::size_t open = pattern.find('{');
        const std::string_view fixed = pattern.substr(0, open);
        if (open == std::string_view::npos)
            // A slash at the end may be left out, and the other way round.
            return path == fixed ||
                   (fixed.ends_with('/') && path == fixed.substr(0, fixed.size() - 1));
        if (!path.starts_with(fixed))
            return false;
        path.remove_prefix(fixed.size());
        const std::size_t close = pattern.find('}', open);
        const bool takes_all = pattern[close - 1] == '*';
        pattern.remove_prefix(close + 1);
        const std::size_t end = takes_all ? path.size() : std::min(path.find('/'), path.size());
        parts.emplace_back(path.substr(0, end));
        path.remove_prefix(end);
        if (pattern.empty())
            return path.empty();
    }
    return path.empty();
}

}  // namespace whisperer::gateway
