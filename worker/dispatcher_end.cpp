// How deliveries leave the dispatcher: ended, parked, or handed back.
#include "dispatcher.h"
#include "verdict.h"

#include <algorithm>

namespace whisperer::engine {

void Dispatcher::collect() {
    results_.clear();
    wire_.take_results(results_);
    for (WireResult& result : results_)
        finish(*static_cast<InFlight*>(result.cookie), std::move(result));
    results_.clear();
}

void Dispatcher::finish(InFlight& flight, WireResult&& result) {
    Lane& lane = *flight.lane;
    const microseconds now = clock_.steady();
    const bool was_retry = flight.delivery.retry_count > 0;
    const bool delivered = result.end == WireEnd::Answered && result.http_status / 100 == 2;
    lane.ended(result, delivered, was_retry, flight.parked, now, settings_->park_after);
    busy_lanes_ -= lane.in_flight() == 0 ? 1 : 0;

    if (result.end == WireEnd::OurFault) {
        give_back(lane, flight.delivery, now, result.error.c_str());
    } else {
        Outcome outcome = judge(std::move(result), flight.hook->retry_plan(),
                                flight.delivery.retry_count, clock_);
        outcome.token = flight.delivery.token;
        outcome.hook_id = flight.hook->id();
        outcome.started_at = flight.started_unix;
        delivered_total_ += delivered ? 1 : 0;
        failed_attempts_total_ += delivered ? 0 : 1;
        outcomes_.push_back(std::move(outcome));
    }
    (flight.parked ? parked_ : running_).erase(flight.self);
    blocked_ = false;
    if (lane.queued() > 0)
        wake(lane);
    return_surplus(lane, now);
    forget_if_done(lane);
}

void Dispatcher::park_old(microseconds now) {
    while (!running_.empty() && running_.front().started_at + settings_->park_after <= now) {
        InFlight& flight = running_.front();
        Outcome outcome;
        outcome.token = flight.delivery.token;
        outcome.hook_id = flight.hook->id();
        outcome.kind = WhispererParked;
        outcome.attempted = true;
        outcome.started_at = flight.started_unix;
        outcome.next_after = std::chrono::ceil<milliseconds>(
            std::max(flight.deadline - now, microseconds(0)) + parked_grace);
        outcomes_.push_back(std::move(outcome));
        flight.parked = true;
        flight.lane->parked();
        parked_.splice(parked_.end(), running_, running_.begin());
        blocked_ = false;
        if (flight.lane->queued() > 0)
            wake(*flight.lane);
        return_surplus(*flight.lane, now);
    }
}

// The wire ends attempts at their deadline.  One that it does not (libcurl does not watch the clock
// of a transfer that waits for another's connection) is cut off here, or Parked would have lied.
void Dispatcher::cut_overdue(InFlightList& list, microseconds now) {
    while (!list.empty() && list.front().deadline + overdue_grace <= now) {
        InFlight& flight = list.front();
        wire_.cancel(flight.lane->wire_lane(), &flight);
        WireResult result;
        result.elapsed = now - flight.started_at;
        result.error = "no response in time";
        finish(flight, std::move(result));
    }
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
        while (lane.take_older_than(now - settings_->park_after, delivery)) {
            --queued_;
            give_back(lane, delivery, now, "endpoint is busy");
        }
        if (lane.queued() > 0)
            schedule_expiry(lane);
    }
}

// A lane that is known to be slow or failing does not hold other lanes' credit for park_after.
void Dispatcher::return_surplus(Lane& lane, microseconds now) {
    Queued delivery;
    while (lane.take_surplus(delivery)) {
        --queued_;
        give_back(lane, delivery, now, "endpoint is busy");
    }
}

void Dispatcher::give_back(Lane& lane, const Queued& delivery, microseconds now, const char* why) {
    Outcome outcome;
    outcome.token = delivery.token;
    outcome.hook_id = lane.hook()->id();
    outcome.kind = WhispererReturned;
    outcome.next_after = lane.reserve_return(now);
    outcome.error = why;
    outcomes_.push_back(std::move(outcome));
}

void Dispatcher::drop_hook(std::int64_t id) {
    const auto found = lanes_.find(id);
    if (found == lanes_.end())
        return;
    Lane& lane = *found->second;
    lane.dropped = true;
    const microseconds now = clock_.steady();
    Queued delivery;
    while (lane.take_older_than(microseconds::max(), delivery)) {
        --queued_;
        give_back(lane, delivery, now, "hook was dropped");
    }
    forget_if_done(lane);
}

void Dispatcher::forget_if_done(Lane& lane) {
    if (!lane.dropped || lane.in_flight() > 0)
        return;
    std::erase(ready_, &lane);
    lanes_.erase(lane.hook()->id());
}

}  // namespace whisperer::engine
