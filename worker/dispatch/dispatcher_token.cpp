// Attempts of hooks whose token must be fetched: the fetch is the first part of the attempt of one
// delivery, sent through the same wire.  Meanwhile its lane starts nothing.
#include "worker/dispatch/dispatcher.h"
#include "worker/dispatch/verdict.h"

#include <algorithm>

namespace whisperer::engine {

// Nothing of a hook's is shown to the place that requests are diverted to, so nothing is fetched.
bool Dispatcher::must_fetch(const Lane& lane, microseconds now) const {
    return lane.hook()->auth().fetches_token() && !settings_->divert_to &&
           !lane.token().usable(now);
}

void Dispatcher::authorize_and_send(InFlight& flight) {
    Lane& lane = *flight.lane;
    if (flight.hook->auth().fetches_token() && !settings_->divert_to) {
        if (must_fetch(lane, flight.started_at)) {
            fetch_token(flight);
            return;
        }
        flight.authorization = lane.token().line();
        flight.token_number = lane.token().number();
    }
    send(flight);
}

void Dispatcher::fetch_token(InFlight& flight) {
    const Auth& auth = flight.hook->auth();
    flight.lane->fetcher = &flight;
    WireRequest request;
    request.cookie = &flight;
    request.owner = flight.hook->owner();
    request.timeout = flight.timeout;
    request.target = auth.token_target();
    request.hook_headers = {flight.hook, &auth.token_headers()};
    request.body = {flight.hook, &auth.token_body()};
    request.response_bytes_max = response_body_bytes_max;
    wire_.start(flight.lane->wire_lane(), std::move(request));
}

// Gives every delivery that waited for it the token, or the reason why there is none.
void Dispatcher::end_fetch(InFlight& flight, WireResult&& result) {
    Lane& lane = *flight.lane;
    const microseconds now = clock_.steady();
    const Auth& auth = flight.hook->auth();
    const bool is_current = auth == lane.hook()->auth();
    FetchedToken token;
    result.location.resize(std::min(result.location.find('?'), result.location.size()));
    if (result.end != WireEnd::Answered)
        token.error = result.error;
    else if (result.http_status / 100 != 2)
        token.error = status_error(result);
    else
        token = auth.read_token(result.response);

    lane.fetcher = nullptr;
    std::vector<InFlight*> flights = std::move(lane.waiting);
    lane.waiting.clear();
    flights.push_back(&flight);  // last: the lane may end with it
    if (!token.line.empty()) {
        if (is_current)
            lane.token().keep(token.line, token.lifetime, now);
        for (InFlight* one : flights) {
            one->authorization = token.line;
            one->token_number = is_current ? lane.token().number() : 0;
            authorized_.push_back(one);
        }
        if (lane.queued() > 0)
            wake(lane);
        return;
    }
    const bool ours = result.end == WireEnd::OurFault;
    if (is_current && !ours)
        lane.token().fetch_failed(now);
    for (InFlight* one : flights) {
        WireResult failure;
        failure.end = ours ? WireEnd::OurFault : WireEnd::Failed;
        failure.connected = result.connected || result.end == WireEnd::Answered;
        failure.refused = result.refused;
        failure.elapsed = result.elapsed;
        failure.error = ours ? result.error : "token: " + token.error;
        finish(*one, std::move(failure));
    }
}

// A target that refuses the token may have ended it early: once the attempt goes on with another.
bool Dispatcher::renew_token(InFlight& flight, const WireResult& result) {
    Lane& lane = *flight.lane;
    const bool refused = result.end == WireEnd::Answered && result.http_status == 401;
    if (!refused || flight.token_number == 0 || flight.was_renewed)
        return false;
    const microseconds now = clock_.steady();
    lane.token().drop(flight.token_number);
    if (settings_->divert_to || lane.dropped || lane.token().rests(now) ||
        flight.hook->auth() != lane.hook()->auth())
        return false;
    flight.was_renewed = true;
    if (lane.fetcher != nullptr) {
        lane.waiting.push_back(&flight);
    } else if (lane.token().usable(now)) {
        flight.authorization = lane.token().line();
        flight.token_number = lane.token().number();
        authorized_.push_back(&flight);
    } else {
        fetch_token(flight);
    }
    return true;
}

// A target's name may have to be looked up now, and look-ups are scarce: whose must wait holds up
// nobody behind.
std::deque<InFlight*>::const_iterator Dispatcher::next_authorized() const {
    const microseconds now = clock_.steady();
    return std::find_if(authorized_.begin(), authorized_.end(), [&](const InFlight* flight) {
        const Target& target = *destination(*flight->hook);
        return target.host_is_address || flight->lane->is_resolved(now) ||
               wire_.may_look_up(target.host);
    });
}

void Dispatcher::send_authorized() {
    for (auto next = next_authorized(); next != authorized_.end(); next = next_authorized()) {
        InFlight& flight = **next;
        authorized_.erase(next);
        if (flight.was_renewed)
            flight.lane->sent_again(clock_.steady());
        send(flight);
    }
}

// It ends while it waits for a token, or for its turn to be sent with one.
void Dispatcher::withdraw(InFlight& flight) {
    std::erase(flight.lane->waiting, &flight);
    std::erase(authorized_, &flight);
}

// Of a lane that was dropped: what waits for the token has not been sent, and will not be.
void Dispatcher::give_up_fetch(Lane& lane) {
    wire_.cancel(lane.wire_lane(), lane.fetcher);
    WireResult result;
    result.end = WireEnd::OurFault;
    result.error = hook_dropped.text;
    end_fetch(*lane.fetcher, std::move(result));
}

}  // namespace whisperer::engine
