// Runs that the host has put together, and chains of them: requests of one line, each of which
// starts when all of the one before was delivered.
//
// Invariant: of a chain one request at most is queued or in flight; the others hang behind it, and
// count as queued.  Whatever ends it otherwise than well breaks the chain, and is told of after
// what hung behind it: the host knows by then that nothing is left of its line but this.
#include "worker/dispatch/dispatcher.h"
#include "worker/base/invalid.h"

#include <algorithm>
#include <optional>

namespace whisperer::engine {
namespace {

// What is behind holds credit for about as long as this.  Who takes longer to answer would not gain
// from it: the host needs but a few milliseconds between two requests.
constexpr milliseconds chain_time{100};
constexpr std::size_t chain_requests_max = 256;

}  // namespace

// is_full: no other event would get in.
Queued Dispatcher::gather_run(Lane& lane, const WhispererEvent* events,
                              const WhispererDelivery* deliveries, std::size_t count,
                              bool& is_full) {
    const BatchRule single{.size = 1};
    const BatchRule* rule = lane.hook()->batch() == nullptr ? &single : lane.hook()->batch();
    const microseconds now = clock_.steady();
    std::vector<Queued> members;
    std::optional<BatchFit> fit;
    while (members.size() < count && !(fit && fit->is_full())) {
        const std::size_t place = members.size();
        // One that cannot be sent is told of when it is the first.
        std::shared_ptr<const Event> event;
        try {
            event = std::make_shared<const Event>(events[place], &held_bytes_);
        } catch (const Invalid&) {
            if (place == 0)
                throw;
            break;
        }
        if (!fit)
            fit.emplace(*rule, *event);
        else if (!fit->takes(*event))
            break;
        members.push_back({deliveries[place].token, deliveries[place].retry_count,
                           deliveries[place].attempts_made, now, std::move(event), true});
    }
    is_full = fit->is_full();
    return one_batch(std::move(members));
}

std::size_t Dispatcher::submit_run(const WhispererEvent* events,
                                   const WhispererDelivery* deliveries, std::size_t count,
                                   std::size_t requests_max) {
    if (count == 0)
        return 0;
    if (find_hook(deliveries[0].hook_id) == nullptr)
        throw Invalid("hook " + std::to_string(deliveries[0].hook_id) + " was not put");
    Lane& lane = *lanes_.at(deliveries[0].hook_id);
    bool is_full = false;
    Queued front = gather_run(lane, events, deliveries, count, is_full);
    std::size_t taken = front.deliveries();
    while (is_full && taken < count && front.behind.size() + 1 < requests_max) {
        try {
            Queued next =
                gather_run(lane, events + taken, deliveries + taken, count - taken, is_full);
            // What may still come goes along with it.
            if (!is_full)
                break;
            taken += next.deliveries();
            front.behind.push_back(std::move(next));
        } catch (const Invalid&) {
            break;
        }
    }
    std::reverse(front.behind.begin(), front.behind.end());
    const auto requests_behind = static_cast<std::int64_t>(front.behind.size());
    wake(lane);
    schedule_expiry(lane);
    lane.push(std::move(front));
    chained_ += requests_behind;
    note_queued(lane, static_cast<std::int64_t>(taken));
    return_surplus(lane, clock_.steady());
    return taken;
}

std::size_t Dispatcher::chain_max(std::int64_t hook_id) const {
    const Lane* lane = find_lane(hook_id);
    if (lane == nullptr || lane->circuit().state() != Circuit::State::Closed || credit_is_short() ||
        is_full(lane->hook()->priority()))
        return 1;
    return std::clamp(lane->answers_within(chain_time), std::size_t{1}, chain_requests_max);
}

// Whether what hangs behind a request that was delivered may be queued: so that it comes back by
// way of the ledger only if something goes wrong.
bool Dispatcher::may_go_on(const Lane& lane, const Queued& delivery, microseconds now) const {
    if (delivery.behind.empty() || lane.is_blocked(now))
        return false;
    const microseconds end = delivery.behind.back().submitted_at + settings_->park_after;
    return now < end && lane.bucket().token_at() < end;
}

void Dispatcher::go_on(Lane& lane, Queued& delivery) {
    Queued next = std::move(delivery.behind.back());
    delivery.behind.pop_back();
    next.behind = std::move(delivery.behind);
    lane.push(std::move(next));
    --chained_;
    schedule_expiry(lane);
}

void Dispatcher::break_chain(Lane& lane, Queued& delivery) {
    while (!delivery.behind.empty()) {
        const Queued next = std::move(delivery.behind.back());
        delivery.behind.pop_back();
        --chained_;
        note_queued(lane, -static_cast<std::int64_t>(next.deliveries()));
        for_each_delivery(next, [&](const Queued& one) {
            Outcome outcome;
            outcome.token = one.token;
            outcome.hook_id = lane.hook()->id();
            outcome.kind = WhispererUnsent;
            outcome.front_first = delivery.token;
            outcome.front_last = delivery.last_token();
            outcomes_.push_back(std::move(outcome));
        });
    }
}

void Dispatcher::break_chains(std::int64_t hook_id) {
    if (chained_ == 0)
        return;
    const auto is_meant = [&](const Lane& lane) {
        return hook_id == 0 || lane.hook()->id() == hook_id;
    };
    for (InFlight& flight : running_)
        if (is_meant(*flight.lane))
            break_chain(*flight.lane, flight.delivery);
    for (auto& entry : lanes_) {
        Lane& lane = *entry.second;
        if (is_meant(lane))
            lane.for_each_queued([&](Queued& delivery) { break_chain(lane, delivery); });
    }
}

}  // namespace whisperer::engine
