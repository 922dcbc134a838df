// What of a lane's queues goes into one request, and when.
//
// First attempts and retries are batched apart, so that retries have no more than their share of
// requests.  A batch is a run of its queue: it ends where something is that cannot go along.
#include "worker/dispatch/lane.h"

#include <algorithm>

namespace whisperer::engine {
namespace {

bool is_single(const Event& event) {
    return event.is_alone() || !can_be_batched(event.kind());
}

}  // namespace

BatchFit::BatchFit(const BatchRule& rule, const Event& first)
    : rule_(rule),
      first_(first),
      bytes_(first.body().size()),
      is_full_(is_single(first) || bytes_ >= rule.bytes || rule.size == 1) {}

bool BatchFit::takes(const Event& next) {
    const std::size_t bytes = bytes_ + next.body().size() + 1;
    is_full_ =
        is_full_ || is_single(next) || bytes > rule_.bytes || next.format() != first_.format();
    if (is_full_)
        return false;
    bytes_ = bytes;
    is_full_ = ++count_ == rule_.size || bytes_ >= rule_.bytes;
    return true;
}

// is_full: whatever else comes, it would not get in.
std::size_t Lane::batch_end(const std::deque<Queued>& queue, bool& is_full) const {
    is_full = true;
    if (queue.front().is_run)
        return 1;
    BatchFit fit(*hook_->batch(), *queue.front().event);
    std::size_t end = 1;
    while (end < queue.size() && !queue[end].is_run && fit.takes(*queue[end].event))
        ++end;
    is_full = fit.is_full() || end < queue.size();
    return end;
}

// From when the queue's next batch waits for no more members.
microseconds Lane::batch_at(const std::deque<Queued>& queue) const {
    if (queue.empty())
        return microseconds::max();
    bool is_full = false;
    batch_end(queue, is_full);
    return is_full ? microseconds::min() : queue.front().submitted_at + hook_->batch()->wait;
}

microseconds Lane::batch_at() const {
    if (hurries && queued() > 0)
        return microseconds::min();
    return std::min(batch_at(fresh_), batch_at(retries_));
}

Queued Lane::take_batch(int max_per_hook, microseconds now) {
    const bool fresh_is_due = !fresh_.empty() && (hurries || batch_at(fresh_) <= now);
    const bool retries_are_due = !retries_.empty() && (hurries || batch_at(retries_) <= now);
    const bool is_retry =
        retries_are_due && (!fresh_is_due || (!last_was_retry_ && retry_has_room(max_per_hook)));
    auto& queue = is_retry ? retries_ : fresh_;
    last_was_retry_ = is_retry;
    bool is_full = false;
    const std::size_t end = batch_end(queue, is_full);
    if (queue.front().is_run)
        return remove(queue, 0);
    const auto behind = queue.begin() + static_cast<std::ptrdiff_t>(end);
    std::vector<Queued> members(std::make_move_iterator(queue.begin()),
                                std::make_move_iterator(behind));
    queue.erase(queue.begin(), behind);
    return one_batch(std::move(members));
}

bool Lane::take_run(Queued& delivery) {
    for (auto* queue : {&fresh_, &retries_}) {
        const auto run = std::find_if(queue->begin(), queue->end(),
                                      [](const Queued& one) { return one.is_run; });
        if (run == queue->end())
            continue;
        delivery = remove(*queue, static_cast<std::size_t>(run - queue->begin()));
        return true;
    }
    return false;
}

Queued one_batch(std::vector<Queued> members) {
    std::stable_sort(members.begin(), members.end(), [](const Queued& one, const Queued& other) {
        return one.event->id() < other.event->id();
    });
    Queued first = std::move(members.front());
    members.erase(members.begin());
    first.others = std::move(members);
    return first;
}

}  // namespace whisperer::engine
