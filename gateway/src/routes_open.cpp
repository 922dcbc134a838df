// What needs no token: the console's files, the description of the API, and whether all is well.
#include <algorithm>

#include "assets.h"
#include "problem.h"
#include "route.h"

namespace whisperer::gateway {

namespace {

const Asset* asset(std::string_view name) {
    const auto all = assets();
    const auto found =
        std::find_if(all.begin(), all.end(), [name](const Asset& one) { return one.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::string type_of(std::string_view name) {
    struct {
        std::string_view ending, type;
    } constexpr types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".json", "application/json"},
        {".webmanifest", "application/manifest+json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".txt", "text/plain; charset=utf-8"},
    };
    for (const auto& [ending, type] : types)
        if (name.ends_with(ending))
            return std::string(type);
    return "application/octet-stream";
}

// If-None-Match names tags, weak or not, or is *.
bool has_tag(std::string_view if_none_match, std::string_view tag) {
    return if_none_match == "*" || if_none_match.find(tag) != std::string_view::npos;
}

Answer file_answer(const Request& request, const Asset& file) {
    Answer answer;
    // Weak, for the bytes depend on the coding.
    answer.headers = {{"ETag", "W/" + std::string(file.tag)}, {"Cache-Control", "no-cache"}};
    if (has_tag(request.if_none_match, file.tag)) {
        answer.status = 304;
        return answer;
    }
    answer.content_type = type_of(file.name);
    answer.file = file.content;
    answer.file_gzipped = file.gzipped;
    return answer;
}

Answer console(Call& call, const std::string& frame_ancestors) {
    const std::string& path = call.path_parts.at(0);
    const Asset* const file = asset("console/" + (path.empty() ? "index.html" : path));
    if (file == nullptr)
        throw not_found("there is no such file");
    Answer answer = file_answer(call.request, *file);
    answer.headers.emplace_back(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors " +
            frame_ancestors);
    answer.headers.emplace_back("Referrer-Policy", "no-referrer");
    return answer;
}

Answer console_without_slash(Call&) {
    // Relative, for whatever path a proxy serves all of this below.
    Answer answer;
    answer.status = 301;
    answer.headers = {{"Location", "console/"}, {"Cache-Control", "no-cache"}};
    return answer;
}

Answer openapi(Call& call) {
    return file_answer(call.request, *asset("openapi.json"));
}

Answer healthy(Call&) {
    return {200, R"({"status": "ok"})"};
}

// Ready is who can look for a token in the database, and whose changes it takes.
Answer ready(Call& call) {
    static const Statement look[] = {
        Statement("SELECT whisperer.api_token_role(''), current_setting('transaction_read_only')")};
    try {
        const Rows rows =
            call.pool().run({.is_repeatable = true, .wants_primary = true, .statements = look});
        if (rows.text(0, 1) == "on")
            throw unavailable("the database takes no changes now", 2);
    } catch (const DatabaseError&) {
        throw unavailable("the database is not set up for the gateway", 10);
    }
    return {200, R"({"status": "ok"})"};
}

}  // namespace

std::vector<Route> open_routes(const std::string& embed_origins) {
    const std::string frame_ancestors = embed_origins.empty() ? "'none'" : embed_origins;
    const auto open = [](const char* path, std::function<Answer(Call&)> handler,
                         bool is_at_once = true) {
        return Route{.method = "GET",
                     .path = path,
                     .access = Route::Access::Everybody,
                     .handler = std::move(handler),
                     .is_at_once = is_at_once};
    };
    return {
        open("/healthz", healthy),
        open("/readyz", ready, false),
        open("/whisperer/openapi.json", openapi),
        open("/", console_without_slash),
        open("/console", console_without_slash),
        open("/console/{path*}",
             [frame_ancestors](Call& call) { return console(call, frame_ancestors); }),
    };
}

}  // namespace whisperer::gateway
