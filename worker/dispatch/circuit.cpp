// The rules of opening and closing.
#include "worker/dispatch/circuit.h"

#include <algorithm>

namespace whisperer::engine {
namespace {

constexpr std::int64_t bucket_count = circuit_bucket_count;
constexpr microseconds bucket_width = circuit_window / bucket_count;

}  // namespace

bool Circuit::blocks(microseconds now) const {
    return state_ == State::HalfOpen || (state_ == State::Open && now < probe_at_);
}

std::uint64_t Circuit::started() {
    const std::uint64_t attempt = next_attempt_++;
    if (state_ == State::Open) {
        state_ = State::HalfOpen;
        probe_ = attempt;
    }
    return attempt;
}

bool Circuit::ended(std::uint64_t attempt, End end, microseconds now) {
    if (attempt < first_attempt_)
        return false;
    const bool was_probe = state_ == State::HalfOpen && attempt == probe_;
    if (end == End::OurFault) {
        if (was_probe)
            state_ = State::Open;  // and due: another may go
        return false;
    }
    if (state_ == State::Closed) {
        count(end != End::Success, now);
        unconnected_in_a_row_ = end == End::NoConnection ? unconnected_in_a_row_ + 1 : 0;
        return end != End::Success && opens(now);
    }
    if (end == End::Success)
        return reset();
    if (!was_probe)
        return false;
    wait_ = std::min(2 * wait_, circuit_wait_max);
    open(now);
    return true;
}

void Circuit::count(bool failure, microseconds now) {
    const std::int64_t number = now / bucket_width;
    Bucket& bucket = buckets_[static_cast<std::size_t>(number) % circuit_bucket_count];
    if (bucket.number != number)
        bucket = {number, 0, 0};
    ++bucket.attempts;
    bucket.failures += failure ? 1 : 0;
}

bool Circuit::opens(microseconds now) {
    const std::int64_t number = now / bucket_width;
    std::int64_t attempts = 0;
    std::int64_t failures = 0;
    for (const Bucket& bucket : buckets_) {
        const bool recent = number - bucket.number < bucket_count;
        attempts += recent ? bucket.attempts : 0;
        failures += recent ? bucket.failures : 0;
    }
    const bool unconnected = unconnected_in_a_row_ >= circuit_unconnected_in_a_row;
    const bool failing =
        attempts >= circuit_attempts_min && 100 * failures >= circuit_failed_percent * attempts;
    if (!unconnected && !failing)
        return false;
    attempts_at_opening_ = unconnected ? 0 : static_cast<int>(attempts);
    failures_at_opening_ = unconnected ? unconnected_in_a_row_ : static_cast<int>(failures);
    open(now);
    return true;
}

void Circuit::open(microseconds now) {
    state_ = State::Open;
    probe_at_ = now + wait_;
}

bool Circuit::let_probe(microseconds now) {
    if (state_ != State::Open || probe_at_ <= now)
        return false;
    probe_at_ = now;
    return true;
}

bool Circuit::reset() {
    const bool was_closed = state_ == State::Closed;
    const std::uint64_t next_attempt = next_attempt_;
    *this = Circuit();
    first_attempt_ = next_attempt_ = next_attempt;
    return !was_closed;
}

std::string Circuit::reason() const {
    if (state_ == State::Closed)
        return {};
    const std::string failures = std::to_string(failures_at_opening_);
    if (attempts_at_opening_ == 0)
        return failures + " connections failed in a row";
    return failures + " of " + std::to_string(attempts_at_opening_) +
           " attempts failed within 5 min";
}

}  // namespace whisperer::engine
