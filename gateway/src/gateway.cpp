// Routes and what requests share; see gateway.h.
#include "gateway.h"

#include <algorithm>

#include "encoding.h"
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

// With several databases each route may be asked of one of them, and lists go on in all.
void add_databases(std::vector<Route>& routes) {
    for (Route& route : routes) {
        if (route.access != Route::Access::Token)
            continue;
        for (Parameter& parameter : route.parameters)
            parameter.is_of_each = route.is_of_each && parameter.name == "cursor";
        route.parameters.push_back({"database", Kind::Database});
    }
}

}  // namespace

Rows Call::run(std::span<const Statement> statements, std::span<const Value> with) const {
    const bool reads = request.method == "GET" || request.method == "HEAD";
    return pool().run({.role = role,
                       .is_read_only = reads,
                       .is_repeatable = reads,
                       .is_list = route.shape == Route::Shape::List,
                       .answer_time = is_beside ? answer_time_beside : answer_time,
                       .statements = statements,
                       .values = with});
}

Gateway::Gateway(Databases& databases, Networks trusted_proxies, const std::string& embed_origins)
    : databases_(databases),
      trusted_proxies_(std::move(trusted_proxies)),
      routes_([this, &embed_origins] {
          std::vector<Route> all = hook_routes();
          for (std::vector<Route> some :
               {event_routes(), retry_routes(), token_routes(), publish_routes(), figure_routes(),
                open_routes(embed_origins)})
              std::move(some.begin(), some.end(), std::back_inserter(all));
          all.push_back({.method = "GET",
                         .path = "/metrics",
                         .parameters = {{"hooks", Kind::Boolean}},
                         .handler = [this](Call& call) { return metrics(call); },
                         .is_of_each = true,
                         .is_of_portal = false});
          if (databases_.are_several())
              add_databases(all);
          return all;
      }()),
      authentication_(databases.pool(0)),
      statistics_(labels_of(routes_)) {}

Reply Gateway::refuse(const Problem& problem, const Address& peer) {
    Head head;
    head.request.id = random_id();
    head.request.address = peer.text();
    Answer answer = answer_of(problem, head.request.id);
    answer.headers.emplace_back("X-Request-Id", head.request.id);
    note(head.request, answer.status, nullptr, {}, {});
    return written(std::move(answer), head, true);
}

void Gateway::note(const Request& request, int status, const Route* route, const std::string& role,
                   std::chrono::steady_clock::duration took) {
    const std::size_t number = route == nullptr ? statistics_.no_route()
                                                : static_cast<std::size_t>(route - routes_.data());
    statistics_.count(number, status, took);
    log_request(request, status, role, took);
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

Answer Gateway::metrics(Call& call) {
    Answer answer;
    answer.body = metrics_text(call, statistics_, connections_());
    answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return answer;
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
