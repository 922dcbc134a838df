// Batches: several deliveries of a lane in one request.  Each keeps its own token, countdown and
// outcome; request, turn, rate, circuit and deadline are the batch's.
#include "worker/dispatch/dispatcher.h"
#include "worker/base/clean_text.h"
#include "worker/dispatch/batch_answer.h"

#include <algorithm>

namespace whisperer::engine {
namespace {

// A delivery whose last attempt was refused in a batch gets one more, alone, so soon.
constexpr milliseconds alone_after{1000};

Members members_of(const InFlight& flight) {
    Members members{flight.delivery.event};
    for (const Queued& other : flight.delivery.others)
        members.push_back(other.event);
    return members;
}

}  // namespace

// Its batches are others from now on.  The host puts them together anew.
void Dispatcher::return_runs(Lane& lane) {
    Queued run;
    while (lane.take_run(run))
        give_back_queued(lane, run, clock_.steady(), endpoint_busy);
}

// One whose format cannot be batched, because its hook had that format when it was first sent, goes
// out as it did then.
void Dispatcher::take_batch(InFlight& flight) {
    flight.delivery = flight.lane->take_batch(settings_->max_in_flight_per_hook, clock_.steady());
    const auto others = static_cast<std::int64_t>(flight.delivery.others.size());
    note_queued(*flight.lane, -others);
    shares_.note_batched(flight.hook->priority(), others);
    if (can_be_batched(flight.delivery.event->kind()))
        flight.batch =
            std::make_shared<const Batch>(*flight.hook->batch(), members_of(flight), &held_bytes_);
}

// They are no longer among those that run.
void Dispatcher::forget_others(const InFlight& flight) {
    shares_.note_batched(flight.hook->priority(),
                         -static_cast<std::int64_t>(flight.delivery.others.size()));
}

// Whoever waits for more members holds credit that may be all that is left, to anybody or to his
// priority: then no member can come.  So is it while a backlog is drained.
void Dispatcher::hurry_batches() {
    if (!credit_is_short() && full_priorities() == 0)
        return;
    std::erase_if(gathering_, [this](Lane* lane) {
        if (!must_hurry(*lane))
            return false;
        lane->gathers = false;
        wake(*lane);
        return true;
    });
}

bool Dispatcher::must_hurry(const Lane& lane) const {
    return lane.hook()->batch() != nullptr &&
           (credit_is_short() || is_full(lane.hook()->priority()));
}

// Also cuts the answer to what is kept of any.
std::vector<std::string> Dispatcher::read_batch_answer(const InFlight& flight,
                                                       WireResult& result) const {
    std::vector<std::string> failures = failures_named_in(result, members_of(flight));
    const std::size_t bytes_max = result.http_status / 100 == 2
                                      ? settings_->success_response_bytes_max
                                      : settings_->failure_response_bytes_max;
    result.response = to_clean_text(result.response, bytes_max);
    return failures;
}

void Dispatcher::end_batch(const InFlight& flight, const WireResult& result,
                           std::vector<std::string> failures) {
    const bool is_shared = !flight.delivery.others.empty();
    std::size_t place = 0;
    int retried = -1;
    milliseconds retried_after{0};
    for_each_delivery(flight.delivery, [&](const Queued& delivery) {
        end_attempt(flight, delivery, WireResult(result), std::move(failures[place++]));
        Outcome& outcome = outcomes_.back();
        // Whatever one of them says is no fault of the others.
        if (is_shared && outcome.kind == WhispererFailed && !outcome.hook_gone &&
            may_be_about_one(outcome.http_status)) {
            outcome.kind = WhispererRetry;
            outcome.given_up = false;
            outcome.next_after = alone_after;
        }
        // Chance does not take a run apart: who has had as many attempts waits as long.
        if (!flight.delivery.is_run || outcome.kind != WhispererRetry)
            return;
        if (retried == delivery.retry_count)
            outcome.next_after = retried_after;
        retried = delivery.retry_count;
        retried_after = outcome.next_after;
    });
}

}  // namespace whisperer::engine
