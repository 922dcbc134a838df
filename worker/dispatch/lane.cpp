// The bookkeeping of a lane.
#include "worker/dispatch/lane.h"

#include <algorithm>
#include <bit>

namespace whisperer::engine {
namespace {

constexpr int speed_memory = 8;
constexpr microseconds never = microseconds::max();
constexpr int window_max = 1 << 20;
// A little less than libcurl keeps a name (60 s).
constexpr seconds resolved_for{50};

}  // namespace

Lane::Lane(std::shared_ptr<const Hook> hook, std::unique_ptr<WireLane> wire_lane)
    : hook_(std::move(hook)), wire_lane_(std::move(wire_lane)), bucket_(hook_->rate_limit()) {}

bool Lane::replace_hook(std::shared_ptr<const Hook> hook) {
    bool circuit_closed = false;
    if (hook->target()->url != hook_->target()->url) {
        window_ = 1;
        failures_in_a_row_ = 0;
        first_started_at_ = never;
        slow_bits_ = 0;
        slow_bits_known_ = 0;
        mean_response_ = microseconds(0);
        resolved_until_ = microseconds(0);
        reserved_until_ = microseconds(0);
        circuit_closed = close_circuit();
    }
    if (hook->rate_limit() != hook_->rate_limit()) {
        bucket_ = TokenBucket(hook->rate_limit());
        reserved_until_ = microseconds(0);
    }
    if (hook->auth() != hook_->auth())
        token_.forget();
    hook_ = std::move(hook);
    return circuit_closed;
}

void Lane::push(Queued delivery) {
    auto& queue = delivery.retry_count > 0 ? retries_ : fresh_;
    const std::size_t others = delivery.others.size();
    queue.push_back(std::move(delivery));
    queued_others_ += others;
}

Queued Lane::remove(std::deque<Queued>& queue, std::size_t place) {
    const auto at = queue.begin() + static_cast<std::ptrdiff_t>(place);
    Queued delivery = std::move(*at);
    if (place == 0)
        queue.pop_front();
    else
        queue.erase(at);
    queued_others_ -= delivery.others.size();
    return delivery;
}

void Lane::pop_newest(bool is_retry) {
    (is_retry ? retries_ : fresh_).pop_back();
}

bool Lane::slow() const {
    return 2 * std::popcount(slow_bits_) > slow_bits_known_;
}

int Lane::limit(int max_per_hook) const {
    const int max = hook_->max_in_flight(max_per_hook);
    return std::min(window_, slow() ? std::min(slow_lane_in_flight_max, max) : max);
}

bool Lane::may_start(int max_per_hook, microseconds now) const {
    return has_capacity(max_per_hook) && !is_blocked(now) && bucket_.token_at() <= now &&
           (hook_->batch() == nullptr || batch_at() <= now);
}

bool Lane::waits_for_rate(int max_per_hook, microseconds now) const {
    return has_capacity(max_per_hook) && !is_blocked(now) && bucket_.token_at() > now;
}

microseconds Lane::wants_turn_at(int max_per_hook, microseconds now) const {
    if (!has_capacity(max_per_hook) || is_blocked(now))
        return never;
    const microseconds at =
        hook_->batch() == nullptr ? bucket_.token_at() : std::max(bucket_.token_at(), batch_at());
    return at > now ? at : never;
}

bool Lane::has_capacity(int max_per_hook) const {
    if (queued() == 0 || in_flight() >= hook_->max_in_flight(max_per_hook) || fetcher != nullptr)
        return false;
    return (slow() ? in_flight() : running_) < limit(max_per_hook);
}

bool Lane::retry_has_room(int max_per_hook) const {
    return retries_in_flight_ < std::max(1, limit(max_per_hook) / 2);
}

Queued Lane::take(int max_per_hook) {
    const bool is_retry =
        !retries_.empty() && (fresh_.empty() || (!last_was_retry_ && retry_has_room(max_per_hook)));
    last_was_retry_ = is_retry;
    return remove(is_retry ? retries_ : fresh_, 0);
}

bool Lane::take_older_than(microseconds moment, Queued& delivery) {
    for (auto* queue : {&fresh_, &retries_}) {
        if (queue->empty() || queue->front().submitted_at > moment)
            continue;
        delivery = remove(*queue, 0);
        return true;
    }
    return false;
}

// A lane whose hook limits it need not queue what it cannot start before that is too old.  Batches
// may be as large as all the credit there is, so what waits for them has a bound of its own.
std::size_t Lane::queue_max(const QueueRoom& room) const {
    const auto deliveries = [&](std::size_t requests) {
        return std::max(requests, std::min(requests * per_request(), room.batched_max));
    };
    std::size_t max = std::size_t(-1);
    if (struggling() || (room.is_unproven && room.credit_is_short))
        max = std::max(struggling_lane_queue_max, room.credit_is_short ? 1 : deliveries(1));
    if (bucket_.limits()) {
        const double park_after_s = std::chrono::duration<double>(room.park_after).count();
        const double in_time = std::max(bucket_.rate(), 1.0) + bucket_.rate() * park_after_s;
        max = std::min(max, deliveries(1 + static_cast<std::size_t>(in_time)));
    }
    if (hook_->has_own_max_in_flight() && mean_response_.count() > 0) {
        const auto rounds = static_cast<std::size_t>(room.park_after / mean_response_);
        const auto at_once = static_cast<std::size_t>(hook_->max_in_flight(0));
        max =
            std::min(max, std::max(struggling_lane_queue_max, deliveries(at_once * (1 + rounds))));
    }
    return max;
}

bool Lane::take_surplus(const QueueRoom& room, Queued& delivery) {
    const std::size_t max = queue_max(room);
    if (queued() <= max)
        return false;
    auto& queue = fresh_.size() >= retries_.size() ? fresh_ : retries_;
    // A run may be longer than all that there is room for.
    if (queue.size() < 2)
        return false;
    delivery = remove(queue, std::min(max / 2, queue.size() - 1));
    return true;
}

std::size_t Lane::answers_within(microseconds time) const {
    if (mean_response_.count() == 0 || struggling())
        return 0;
    const auto answers = static_cast<std::size_t>(time / mean_response_);
    const double started = std::chrono::duration<double>(time).count() * bucket_.rate();
    return bucket_.limits() ? std::min(answers, static_cast<std::size_t>(started)) : answers;
}

microseconds Lane::oldest() const {
    if (fresh_.empty())
        return retries_.front().submitted_at;
    if (retries_.empty())
        return fresh_.front().submitted_at;
    return std::min(fresh_.front().submitted_at, retries_.front().submitted_at);
}

std::uint64_t Lane::started(bool is_retry, microseconds now) {
    if (in_flight() == 0 || first_started_at_ == never)
        first_started_at_ = now;
    ++running_;
    retries_in_flight_ += is_retry ? 1 : 0;
    bucket_.take(now);
    return circuit_.started();
}

void Lane::remember_speed(bool slow_answer) {
    slow_bits_ = (slow_bits_ << 1 | (slow_answer ? 1U : 0U)) & ((1U << speed_memory) - 1);
    slow_bits_known_ = std::min(slow_bits_known_ + 1, speed_memory);
}

void Lane::parked(bool outdated) {
    --running_;
    ++parked_;
    if (!outdated)
        remember_speed(true);
}

void Lane::ended(const WireResult& result, bool delivered, bool was_retry, bool was_parked,
                 microseconds now, microseconds park_after) {
    --(was_parked ? parked_ : running_);
    retries_in_flight_ -= was_retry ? 1 : 0;
    if (result.end == WireEnd::OurFault || result.outdated)
        return;
    if (!was_parked)
        remember_speed(result.elapsed > park_after);
    mean_response_ =
        mean_response_.count() == 0 ? result.elapsed : (7 * mean_response_ + result.elapsed) / 8;
    resolved_until_ = result.resolved ? now + resolved_for : microseconds(0);
    if (delivered) {
        window_ = std::min(window_ + 1, window_max);
        failures_in_a_row_ = 0;
    } else {
        window_ = result.end == WireEnd::Answered ? std::max(window_ / 2, 1) : 1;
        failures_in_a_row_ = std::min(failures_in_a_row_ + 1, struggling_after_failures);
    }
}

bool Lane::judge_circuit(std::uint64_t attempt, const WireResult& result, bool delivered,
                         microseconds now) {
    Circuit::End end = Circuit::End::Failure;
    if (result.end == WireEnd::OurFault || result.outdated)
        end = Circuit::End::OurFault;
    else if (delivered)
        end = Circuit::End::Success;
    else if (result.end == WireEnd::Failed && !result.connected && !result.refused)
        end = Circuit::End::NoConnection;
    const bool changed = circuit_.ended(attempt, end, now);
    if (changed && circuit_.state() == Circuit::State::Closed)
        reserved_until_ = microseconds(0);
    return changed;
}

bool Lane::close_circuit() {
    const bool changed = circuit_.reset();
    if (changed)
        reserved_until_ = microseconds(0);
    return changed;
}

bool Lane::let_probe(microseconds now) {
    const bool changed = circuit_.let_probe(now);
    if (changed)
        reserved_until_ = microseconds(0);
    return changed;
}

microseconds Lane::wants_retries_at(microseconds now) const {
    if (circuit_.state() == Circuit::State::Open)
        return circuit_.probe_at();
    if (circuit_.state() == Circuit::State::HalfOpen)
        return now + return_wait_min;
    if (token_.rests(now))
        return token_.rests_until();
    if (queued() == 0 || bucket_.token_at() <= now)
        return now;
    return bucket_.token_at() +
           static_cast<std::int64_t>(queued() / per_request()) * bucket_.spacing();
}

milliseconds Lane::reserve_return(std::size_t deliveries, int max_per_hook, microseconds now) {
    const bool blocked = is_blocked(now);
    reserved_until_ = std::max<microseconds>(reserved_until_, now + return_wait_min);
    if (circuit_.state() == Circuit::State::Open)
        reserved_until_ = std::max(reserved_until_, circuit_.probe_at());
    reserved_until_ = std::max({reserved_until_, bucket_.token_at(), token_.rests_until()});
    reserved_until_ = std::min<microseconds>(reserved_until_, now + return_wait_max);
    const auto wait = std::chrono::ceil<milliseconds>(reserved_until_ - now);
    const int requests = limit(max_per_hook);
    const microseconds spacing =
        blocked || mean_response_.count() == 0 ? return_spacing_max : mean_response_ / requests;
    reserved_until_ += std::max(std::min(spacing, return_spacing_max), bucket_.spacing()) *
                       static_cast<std::int64_t>(deliveries) /
                       static_cast<std::int64_t>(per_request());
    return wait;
}

}  // namespace whisperer::engine
