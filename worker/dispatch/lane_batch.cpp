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

// is_full: whatever else comes, it would not get in.
std::size_t Lane::batch_end(const std::deque<Queued>& queue, bool& is_full) const {
    const BatchRule& rule = *hook_->batch();
    const Event& first = *queue.front().event;
    is_full = true;
    if (is_single(first))
        return 1;
    std::size_t bytes = first.body().size();
    std::size_t end = 1;
    for (; end < rule.size; ++end) {
        if (end == queue.size()) {
            is_full = bytes >= rule.bytes;
            break;
        }
        const Event& next = *queue[end].event;
        bytes += next.body().size() + 1;
        if (is_single(next) || bytes > rule.bytes || next.format() != first.format())
            break;
    }
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

std::vector<Queued> Lane::take_batch(int max_per_hook, microseconds now) {
    const bool fresh_is_due = !fresh_.empty() && (hurries || batch_at(fresh_) <= now);
    const bool retries_are_due = !retries_.empty() && (hurries || batch_at(retries_) <= now);
    const bool is_retry =
        retries_are_due && (!fresh_is_due || (!last_was_retry_ && retry_has_room(max_per_hook)));
    auto& queue = is_retry ? retries_ : fresh_;
    bool is_full = false;
    const auto end = queue.begin() + static_cast<std::ptrdiff_t>(batch_end(queue, is_full));
    std::vector<Queued> members(std::make_move_iterator(queue.begin()),
                                std::make_move_iterator(end));
    queue.erase(queue.begin(), end);
    last_was_retry_ = is_retry;
    std::stable_sort(members.begin(), members.end(), [](const Queued& one, const Queued& other) {
        return one.event->id() < other.event->id();
    });
    return members;
}

}  // namespace whisperer::engine
