// The life of a request; see exchange.h.
#include "exchange.h"

#include <algorithm>
#include <exception>

#include "database_problem.h"
#include "lists.h"
#include "log.h"

namespace whisperer::gateway {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause{10};
constexpr milliseconds longest_pause{250};

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

Exchange::Exchange(Gateway& gateway, Head head, const Address& peer, bool is_last)
    : gateway_(gateway), head_(std::move(head)), is_last_(is_last || head_.closes) {
    const Address address = client_of(peer, head_.request.forwarded_for, gateway.trusted_proxies());
    head_.request.address = address.text();
    client_ = address.client();
}

std::optional<Reply> Exchange::begin() {
    std::optional<Reply> reply;
    const Step step = guarded([this]() -> Step {
        try {
            read_request_line(head_);
        } catch (const Problem&) {
            is_last_ = true;
            throw;
        }
        Gateway::Match found = gateway_.match(head_.request);
        route_ = found.route;
        call_.emplace(Call{
            head_.request, *route_, {}, {}, std::move(found.path_parts), gateway_.databases()});
        return {route_->is_at_once ? std::optional(finish(route_->handler(*call_))) : std::nullopt};
    });
    return step.reply;
}

Errand::Step Exchange::go_on(bool is_last) {
    is_ending_ |= is_last;
    is_last_ |= is_last;
    if (call_->pieces && call_->pieces->is_begun)
        return guarded([this] { return next_piece(); });
    return guarded([this] { return call_->wait ? look() : run(); });
}

Reply Exchange::refuse(const Problem& problem) {
    return finish(answer_of(problem, head_.request.id));
}

void Exchange::note() {
    gateway_.note(head_.request, status_, route_, role_, took_);
}

// Nothing is thrown from here on outwards.
Errand::Step Exchange::guarded(const std::function<Step()>& work) {
    const std::string& id = head_.request.id;
    const bool is_begun = call_ && call_->pieces && call_->pieces->is_begun;
    Answer answer;
    try {
        return work();
    } catch (const Problem& problem) {
        answer = answer_of(problem, id);
    } catch (const DatabaseError& error) {
        if (error.is_of_role && call_->database > 0) {
            log_event("a right is missing", "role " + role_ + ": " + error.message, id);
            answer = answer_of({403, "forbidden", "your role is not set up in that database"}, id);
        } else if (error.is_of_role && (error.sqlstate == "42501" || error.sqlstate == "22023")) {
            gateway_.authentication().forget(head_.request);
            log_event("a right is missing", "role " + role_ + ": " + error.message, id);
            answer = answer_of({401, "unauthorized", "a valid token is needed"}, id);
        } else {
            if (error.sqlstate == "42501")
                note_missing_right(call_->pool(), role_, id);
            answer = answer_of(problem_of(error, *route_, id), id);
        }
    } catch (const std::exception& error) {
        log_event("error", error.what(), id);
        answer = answer_of({500, "internal_error", "something went wrong on the server"}, id);
    }
    // The head said how long it would be: all that is left is to end it.
    if (is_begun)
        return {Reply{.closes = true, .is_broken = true}};
    return {finish(std::move(answer))};
}

Errand::Step Exchange::run() {
    Call& call = *call_;
    const Request& request = head_.request;
    if (route_->access == Route::Access::Token) {
        const Caller caller = gateway_.authentication().caller_of(request, client_);
        call.role = role_ = caller.role;
        gateway_.request_rates().admit(caller, Clock::now());
    }
    if (Authentication::is_portal(request) && !route_->is_of_portal)
        throw Problem{403, "forbidden", "a link into the console is not for that"};
    // What is open to everybody takes no parameters, and passes over those that monitors and
    // browsers put on; of a path that takes all that follows, the handler makes what it wants.
    if (route_->access == Route::Access::Token) {
        call.values = read_parameters(request, route_->parameters, call.path_parts);
        if (!route_->is_of_each)
            call.database = database_of(request, call.databases).value_or(0);
    }
    if (route_->body)
        call.values.emplace_back(read_body(request, *route_->body));
    if (route_->waits)
        place_ = gateway_.waiting().enter(client_, Authentication::key_of(request));
    if (!route_->handler)
        return {finish(answer_of_rows(call.run(route_->statements)))};
    Answer answer = route_->handler(call);
    if (!call.wait)
        return {finish(std::move(answer))};
    wait_until_ = Clock::now() + call.wait->time;
    return wait_on();
}

Answer Exchange::answer_of_rows(const Rows& rows) const {
    if (route_->shape == Route::Shape::List)
        return list_answer(*call_, rows);
    if (rows.count() == 0)
        throw not_found("there is no such " + route_->what);
    Answer answer;
    answer.status = route_->status;
    if (route_->shape == Route::Shape::Object)
        answer.body = rows.text(0, 0);
    return answer;
}

Errand::Step Exchange::wait_on() {
    pause_ = std::min(pause_.count() == 0 ? first_pause : pause_ * 2, longest_pause);
    return {std::nullopt, Clock::now() + pause_};
}

// The first column says whether it is over, the second is the answer as it would be now.
Errand::Step Exchange::look() {
    const bool is_late = is_ending_ || Clock::now() >= wait_until_;
    try {
        const Rows rows = call_->pool().run({.role = role_,
                                             .is_read_only = true,
                                             .is_repeatable = true,
                                             .is_patient = is_late,
                                             .statements = call_->wait->look,
                                             .values = call_->wait->with});
        if (rows.count() == 1 && (rows.text(0, 0) == "t" || is_late))
            return {finish({200, std::string(rows.text(0, 1))})};
        if (is_late)
            throw not_found("there is no such delivery");
    } catch (const Problem& problem) {
        // Others need the database, or it is away for a moment.
        if (is_late || problem.status != 503)
            throw;
    }
    return wait_on();
}

Errand::Step Exchange::next_piece() {
    Pieces& pieces = *call_->pieces;
    std::string piece = pieces.next(*call_);
    if (piece.empty() || piece.size() > pieces.bytes_left)
        return {Reply{.closes = true, .is_broken = true}};
    pieces.bytes_left -= piece.size();
    return {Reply{.bytes = std::move(piece),
                  .closes = is_last_,
                  .has_more = pieces.bytes_left > 0,
                  .is_rest = true}};
}

Reply Exchange::finish(Answer answer) {
    place_.reset();
    answer.headers.emplace_back("X-Request-Id", head_.request.id);
    answer.headers.emplace_back("X-Content-Type-Options", "nosniff");
    if (std::none_of(answer.headers.begin(), answer.headers.end(),
                     [](const auto& header) { return header.first == "Cache-Control"; }))
        answer.headers.emplace_back("Cache-Control", "no-store");
    status_ = answer.status;
    took_ = Clock::now() - begun_;
    Reply reply = written(std::move(answer), head_, is_last_);
    if (reply.has_more)
        call_->pieces->is_begun = true;
    return reply;
}

}  // namespace whisperer::gateway
