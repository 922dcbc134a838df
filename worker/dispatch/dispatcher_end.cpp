// How deliveries leave the dispatcher: ended, parked, or handed back.
#include "worker/dispatch/dispatcher.h"
#include "worker/dispatch/verdict.h"

#include <algorithm>
#include <cstdio>

namespace whisperer::engine {
namespace {

std::int64_t ms_until(microseconds moment, microseconds now) {
    return moment <= now ? 0 : std::chrono::ceil<milliseconds>(moment - now).count();
}

// What the host gave it will need again with the next attempt.
void keep_own(Outcome& outcome, const Queued& delivery) {
    if (delivery.event->has_own_body() || !delivery.event->format().empty())
        outcome.event = delivery.event;
}

}  // namespace

void Dispatcher::collect() {
    // Until there is none: a second request of an attempt may end as it is started.
    do {
        results_.clear();
        wire_.take_results(results_);
        for (WireResult& result : results_)
            take_result(*static_cast<InFlight*>(result.cookie), std::move(result));
    } while (!results_.empty());
}

// What a request met that began before the settings were changed, they may have mended.
void Dispatcher::note_own_fault(const InFlight& flight, std::string text) {
    if (flight.started_at < configured_at_)
        return;
    own_fault_ = std::move(text);
    own_fault_at_ = clock_.steady();
}

std::string_view Dispatcher::own_fault() const {
    const bool is_recent = !own_fault_.empty() && clock_.steady() < own_fault_at_ + own_fault_shown;
    return is_recent ? std::string_view(own_fault_) : std::string_view();
}

void Dispatcher::note_lookup(const InFlight& flight, const Target& target, WireResult& result) {
    if (!result.looked_up)
        return;
    if (result.resolved) {
        names_.reached(target.host);
    } else if (names_.failed(target.host)) {
        result.end = WireEnd::OurFault;
        note_own_fault(flight, "no name can be resolved");
    }
}

// Silence may be the proxy's, or that of the target which it cannot reach.
void Dispatcher::note_proxy(const InFlight& flight, const Target& target, WireResult& result) {
    if (result.proxy == WireProxy::None)
        return;
    const std::string place = target.host + ' ' + std::to_string(target.port);
    if (result.proxy == WireProxy::Answered) {
        tunnels_.reached(place);
    } else if (tunnels_.failed(place)) {
        result.end = WireEnd::OurFault;
        note_own_fault(flight, result.error);
    }
}

void Dispatcher::take_result(InFlight& flight, WireResult&& result) {
    const bool is_fetch = flight.lane->fetcher == &flight;
    if (result.end == WireEnd::OurFault)
        note_own_fault(flight, result.error);
    const Target& target = is_fetch ? *flight.hook->auth().token_target() : *flight.target;
    note_lookup(flight, target, result);
    note_proxy(flight, target, result);
    if (result.sent_again)
        ++reposts_total_;
    // What a receiver is sent twice counts twice against its rate.
    if (result.sent_again && !is_fetch)
        flight.lane->sent_again(clock_.steady());
    if (is_fetch)
        end_fetch(flight, std::move(result));
    else if (!renew_token(flight, result))
        finish(flight, std::move(result));
}

void Dispatcher::finish(InFlight& flight, WireResult&& result) {
    Lane& lane = *flight.lane;
    const microseconds now = clock_.steady();
    const bool was_retry = flight.delivery.retry_count > 0;
    bool delivered = result.end == WireEnd::Answered && result.http_status / 100 == 2;
    std::vector<std::string> failures;
    if (flight.batch != nullptr) {
        failures = read_batch_answer(flight, result);
        delivered = delivered && std::find(failures.begin(), failures.end(), "") != failures.end();
    }
    const bool goes_on = delivered &&
                         std::count(failures.begin(), failures.end(), "") == std::ssize(failures) &&
                         may_go_on(lane, flight.delivery, now);
    if (!goes_on)
        break_chain(lane, flight.delivery);
    result.outdated = flight.target->url != destination(*lane.hook())->url;
    lane.ended(result, delivered, was_retry, flight.parked, now, settings_->park_after);
    busy_lanes_ -= lane.in_flight() == 0 ? 1 : 0;
    if (settings_->circuit_breaker && !lane.dropped &&
        lane.judge_circuit(flight.circuit_attempt, result, delivered, now))
        note_circuit_change(lane);

    if (result.end == WireEnd::OurFault)
        give_back(lane, flight.delivery, now, PutOff{result.error.c_str()});
    else if (flight.batch == nullptr)
        end_attempt(flight, flight.delivery, std::move(result), {});
    else
        end_batch(flight, result, std::move(failures));
    if (goes_on)
        go_on(lane, flight.delivery);
    if (!flight.parked)
        forget_others(flight);
    (flight.parked ? parked_ : running_).erase(flight.self);
    if (running_.empty() && parked_.empty())
        first_deadline_ = microseconds::max();
    blocked_ = false;
    return_surplus(lane, now);
    if (lane.queued() > 0)
        wake(lane);
    forget_if_done(lane);
}

// failure: why it failed although the answer is a 2xx; empty: the result says all.
void Dispatcher::end_attempt(const InFlight& flight, const Queued& delivery, WireResult&& result,
                             std::string failure) {
    Outcome outcome = judge(std::move(result), flight.hook->retry_plan(), delivery.retry_count,
                            clock_, std::move(failure));
    outcome.token = delivery.token;
    outcome.hook_id = flight.hook->id();
    outcome.started_at = flight.started_unix;
    // Where requests are diverted to says nothing of the hook's own address.
    outcome.hook_gone &= flight.target->url == flight.lane->hook()->target()->url;
    keep_own(outcome, delivery);
    ++(outcome.kind == WhispererDelivered ? delivered_total_ : failed_attempts_total_);
    outcomes_.push_back(std::move(outcome));
}

void Dispatcher::park_old(microseconds now) {
    while (!running_.empty() && running_.front().started_at + settings_->park_after <= now) {
        InFlight& flight = running_.front();
        break_chain(*flight.lane, flight.delivery);
        for_each_delivery(flight.delivery, [&](const Queued& delivery) {
            Outcome outcome;
            outcome.token = delivery.token;
            outcome.hook_id = flight.hook->id();
            outcome.kind = WhispererParked;
            outcome.attempted = true;
            outcome.started_at = flight.started_unix;
            outcome.next_after = std::chrono::ceil<milliseconds>(
                std::max(flight.deadline() - now, microseconds(0)) + parked_grace);
            keep_own(outcome, delivery);
            outcomes_.push_back(std::move(outcome));
        });
        forget_others(flight);
        flight.parked = true;
        flight.lane->parked(flight.target->url != destination(*flight.lane->hook())->url);
        parked_.splice(parked_.end(), running_, running_.begin());
        blocked_ = false;
        if (flight.lane->queued() > 0)
            wake(*flight.lane);
        return_surplus(*flight.lane, now);
    }
}

// The wire ends attempts at their deadline.  One that it does not (libcurl does not watch the clock
// of a transfer that waits for another's connection) is cut off here, or Parked would have lied.
void Dispatcher::cut_overdue(microseconds now) {
    while (InFlight* overdue = find_overdue(now)) {
        InFlight& flight = *overdue;
        wire_.cancel(flight.lane->wire_lane(), &flight);
        WireResult result;
        result.elapsed = now - flight.started_at;
        result.error = "no response in time";
        result.connected = true;  // for all that is known
        withdraw(flight);
        if (flight.lane->fetcher == &flight)
            end_fetch(flight, std::move(result));
        else
            finish(flight, std::move(result));
    }
}

// Most have ended long before their deadlines, so these are looked at when one could be overdue.
InFlight* Dispatcher::find_overdue(microseconds now) {
    if (first_deadline_ > now - overdue_grace)
        return nullptr;
    microseconds first = microseconds::max();
    for (InFlightList* flights : {&running_, &parked_})
        for (InFlight& flight : *flights) {
            if (flight.deadline() <= now - overdue_grace)
                return &flight;
            first = std::min(first, flight.deadline());
        }
    first_deadline_ = first;
    return nullptr;
}

void Dispatcher::return_old(microseconds now) {
    while (!expiries_.empty() && expiries_.top().at <= now) {
        const auto found = lanes_.find(expiries_.top().hook_id);
        expiries_.pop();
        if (found == lanes_.end())
            continue;
        Lane& lane = *found->second;
        lane.expiry_scheduled = false;
        Queued delivery;
        const bool limited = lane.waits_for_rate(settings_->max_in_flight_per_hook, now);
        const bool is_outranked = shares_.has_lanes_above(lane.hook()->priority()) &&
                                  lane.may_start(settings_->max_in_flight_per_hook, now);
        const microseconds age_max = settings_->park_after + lane.batch_wait();
        while (lane.take_older_than(now - age_max, delivery)) {
            give_back_queued(lane, delivery, now,
                             limited                   ? rate_limited
                             : lane.fetcher != nullptr ? awaits_token
                             : is_outranked            ? outranked
                                                       : endpoint_busy);
        }
        if (lane.queued() > 0)
            schedule_expiry(lane);
    }
}

bool Dispatcher::credit_is_short() const {
    return credit().is_short != 0;
}

// Running requests take a quarter of the credit; each priority below the highest may have as much
// queued, and no more once half of the bytes are taken.  One delivery it may always have: its turn
// comes.  Batches take credit without turns, so while that is short what runs in them counts, and
// low ones have a sixteenth.
bool Dispatcher::is_full(Priority priority) const {
    if (!shares_.has_lanes_above(priority))
        return false;
    const bool is_short = credit_is_short();
    const std::int64_t held = shares_.queued(priority) + (is_short ? shares_.batched(priority) : 0);
    const int part = is_short && priority == Priority::Low ? low_rounds_per_turn : 1;
    return held > 0 && (held >= std::max(settings_->max_in_flight / part, 1) ||
                        2 * credit().bytes < settings_->queued_bytes_max);
}

int Dispatcher::full_priorities() const {
    return (is_full(Priority::Low) ? 1 : 0) | (is_full(Priority::Normal) ? 2 : 0);
}

// A lane that is known to be slow, failing or limited does not hold other lanes' credit for
// park_after, nor does one of which nothing is known when others need it; one whose circuit is
// open, or whose token could not be fetched just now, holds none at all.
void Dispatcher::return_surplus(Lane& lane, microseconds now) {
    const bool all = lane.is_blocked(now);
    if (!all && lane.may_hold_all(now))
        return;
    const bool limited = lane.bucket().limits() && !lane.struggling();
    const PutOff& why = lane.circuit().blocks(now) ? circuit_open
                        : all                      ? token_not_fetched
                        : limited                  ? rate_limited
                                                   : endpoint_busy;
    // At half of the credit batches wait for nothing any more.
    const auto half = static_cast<std::size_t>(credit_factor / 2) *
                      static_cast<std::size_t>(settings_->max_in_flight);
    const QueueRoom room{credit_is_short(), lane.unproven(now), half + 1, settings_->park_after};
    Queued delivery;
    while (all ? lane.take_older_than(microseconds::max(), delivery)
               : lane.take_surplus(room, delivery)) {
        give_back_queued(lane, delivery, now, why);
    }
}

// What was to go out together comes back together.
void Dispatcher::give_back(Lane& lane, Queued& delivery, microseconds now, const PutOff& why) {
    break_chain(lane, delivery);
    const milliseconds next_after =
        lane.reserve_return(delivery.deliveries(), settings_->max_in_flight_per_hook, now);
    for_each_delivery(delivery, [&](const Queued& one) {
        Outcome outcome;
        outcome.token = one.token;
        outcome.hook_id = lane.hook()->id();
        outcome.kind = WhispererReturned;
        outcome.next_after = next_after;
        outcome.error = why.text;
        outcome.error_code = why.code;
        keep_own(outcome, one);
        outcomes_.push_back(std::move(outcome));
    });
}

void Dispatcher::give_back_queued(Lane& lane, Queued& delivery, microseconds now,
                                  const PutOff& why) {
    note_queued(lane, -static_cast<std::int64_t>(delivery.deliveries()));
    give_back(lane, delivery, now, why);
}

void Dispatcher::drop_hook(std::int64_t id) {
    const auto found = lanes_.find(id);
    if (found == lanes_.end())
        return;
    Lane& lane = *found->second;
    break_chains(id);
    if (!lane.dropped)
        shares_.note_lane(lane.hook()->priority(), -1);
    lane.dropped = true;
    lane.close_circuit();
    forget_circuit_change(lane);
    const microseconds now = clock_.steady();
    Queued delivery;
    while (lane.take_older_than(microseconds::max(), delivery)) {
        give_back_queued(lane, delivery, now, hook_dropped);
    }
    if (lane.fetcher != nullptr)
        give_up_fetch(lane);
    else
        forget_if_done(lane);
}

void Dispatcher::forget_if_done(Lane& lane) {
    if (!lane.dropped || lane.in_flight() > 0)
        return;
    std::erase(ready_, &lane);
    wakeups_.erase({lane.wakeup_at, &lane});
    if (lane.gathers)
        std::erase(gathering_, &lane);
    lanes_.erase(lane.hook()->id());
}

void Dispatcher::note_circuit_change(Lane& lane) {
    if (lane.circuit_changed)
        return;
    changed_circuits_.push_back(&lane);
    lane.circuit_changed = true;
}

void Dispatcher::forget_circuit_change(Lane& lane) {
    if (lane.circuit_changed)
        std::erase(changed_circuits_, &lane);
    lane.circuit_changed = false;
}

bool Dispatcher::take_circuit_change(WhispererCircuit& circuit) {
    if (changed_circuits_.empty())
        return false;
    Lane& lane = *changed_circuits_.front();
    const std::string reason = lane.circuit().reason();
    changed_circuits_.pop_front();
    lane.circuit_changed = false;
    circuit = WhispererCircuit{};
    circuit.hook_id = lane.hook()->id();
    const bool closed = lane.circuit().state() == Circuit::State::Closed;
    circuit.state = closed ? WhispererCircuitClosed : WhispererCircuitOpen;
    if (lane.circuit().state() == Circuit::State::Open)
        circuit.retry_after_ms = ms_until(lane.circuit().probe_at(), clock_.steady());
    std::snprintf(circuit.reason, sizeof circuit.reason, "%s", reason.c_str());
    return true;
}

std::int64_t Dispatcher::hook_wait_ms(std::int64_t hook_id) const {
    const Lane* lane = find_lane(hook_id);
    if (lane == nullptr)
        return 0;
    const microseconds now = clock_.steady();
    return ms_until(lane->wants_retries_at(now), now);
}

bool Dispatcher::probe_hook(std::int64_t hook_id) {
    if (find_lane(hook_id) == nullptr)
        return false;
    Lane& lane = *lanes_.at(hook_id);
    if (lane.let_probe(clock_.steady()))
        note_circuit_change(lane);
    return lane.circuit().state() == Circuit::State::HalfOpen;
}

bool Dispatcher::awaits_probe(std::int64_t hook_id) const {
    const Lane* lane = find_lane(hook_id);
    return lane != nullptr && lane->awaits_probe(clock_.steady());
}

}  // namespace whisperer::engine
