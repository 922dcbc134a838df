// A lane: one hook's queue and how much of the wire it may use.
//
// A lane starts with one request at a time.  Each success adds one (so it doubles per round trip),
// each failure halves, a failure to connect goes back to one.  It is slow while most of its last
// eight attempts took longer than park_after: then few requests in all, parked ones included, and a
// short queue.  A circuit breaker and a rate limit may keep it from starting at all.  Owned and
// driven by the dispatcher; knows neither clock nor wire.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "worker/base/clock.h"
#include "worker/dispatch/access_token.h"
#include "worker/dispatch/circuit.h"
#include "worker/dispatch/priorities.h"
#include "worker/dispatch/token_bucket.h"
#include "worker/rules/envelope.h"
#include "worker/rules/hook.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

inline constexpr int slow_lane_in_flight_max = 4;
// What a lane that is slow or keeps failing may have queued; the rest is returned at once.
inline constexpr std::size_t struggling_lane_queue_max = 16;
inline constexpr int struggling_after_failures = 8;
// The same, while credit is short, for a lane whose first request has not been answered for this
// long: eleven endpoints that hung took all of it in their first second, before they counted as
// slow.
inline constexpr milliseconds unproven_after{50};
inline constexpr milliseconds return_wait_min{1000};
// Returned deliveries come back at the lane's own speed, but no slower than one in 10 ms: a lane
// that has recovered is not kept waiting by what it was, and one that has not costs at most a
// hundred re-readings a second.
inline constexpr microseconds return_spacing_max{10000};
// Only a rate limit of almost nothing asks for more.
inline constexpr std::chrono::hours return_wait_max{24 * 365};

struct InFlight;

struct Queued {
    std::uint64_t token = 0;
    int retry_count = 0;
    int attempts_made = 0;
    microseconds submitted_at{0};
    std::shared_ptr<const Event> event;
    // A batch that the host has put together: it waits for nobody, is not taken apart, and comes
    // back as a whole.
    bool is_run = false;
    std::vector<Queued> others{};  // that go along, in the order in which they were recorded
    // The rest of its chain, last first: each is queued when the one before it was delivered.
    std::vector<Queued> behind{};

    std::uint64_t last_token() const { return others.empty() ? token : others.back().token; }
    std::size_t deliveries() const { return 1 + others.size(); }
};

// Several, in the order in which they were recorded.
Queued one_batch(std::vector<Queued> members);

// What goes into one batch, one after the other.
class BatchFit {
  public:
    BatchFit(const BatchRule& rule, const Event& first);
    // Whether another could get in at all, and whether this one does; if so it is in.
    bool is_full() const { return is_full_; }
    bool takes(const Event& next);

  private:
    const BatchRule& rule_;
    const Event& first_;
    std::size_t count_ = 1;
    std::size_t bytes_;
    bool is_full_;
};

// What a lane that does not keep up may hold of what is there for all.
struct QueueRoom {
    bool credit_is_short;
    bool is_unproven;         // see Lane::unproven
    std::size_t batched_max;  // of what one request after the other takes by the batch
    microseconds park_after;
};

class Lane {
  public:
    Lane(std::shared_ptr<const Hook> hook, std::unique_ptr<WireLane> wire_lane);

    const std::shared_ptr<const Hook>& hook() const { return hook_; }
    WireLane& wire_lane() { return *wire_lane_; }
    // A new address is a new endpoint: what was learned of the old one is forgotten.  A new rate
    // begins with a full bucket, new credentials with no token.  True: the circuit closed by it.
    bool replace_hook(std::shared_ptr<const Hook> hook);

    // max_per_hook, here and below: how many requests a hook may have that does not say.
    void push(Queued delivery);
    void pop_newest(bool is_retry);  // undoes a push
    bool may_start(int max_per_hook, microseconds now) const;
    // Only its rate limit keeps it from starting.
    bool waits_for_rate(int max_per_hook, microseconds now) const;
    // It has something to start later, when its rate lets it, or its next batch waits for no more
    // members; max: nothing.
    microseconds wants_turn_at(int max_per_hook, microseconds now) const;
    // How much longer than park_after it may hold a delivery.
    milliseconds batch_wait() const {
        return hook_->batch() == nullptr ? milliseconds(0) : hook_->batch()->wait;
    }
    // The next in turn.  While first attempts wait, retries get every second turn and at most half
    // of the requests.  Only if may_start.
    Queued take(int max_per_hook);
    // The next in turn, and with it those behind it that go into one request.  Only of a hook with
    // batches, if may_start.
    Queued take_batch(int max_per_hook, microseconds now);
    // A batch that the host has put together, if there is one.
    bool take_run(Queued& delivery);
    template <typename Do>
    void for_each_queued(Do act) {
        for (auto* queue : {&fresh_, &retries_})
            for (Queued& delivery : *queue)
                act(delivery);
    }
    // The oldest that was submitted at or before the moment, if any.
    bool take_older_than(microseconds moment, Queued& delivery);
    // Its queue is not shortened.
    bool may_hold_all(microseconds now) const {
        return !struggling() && !unproven(now) && !bucket_.limits() &&
               !hook_->has_own_max_in_flight();
    }
    // One that the lane's shortened queue has no place for, if any; the first such.
    bool take_surplus(const QueueRoom& room, Queued& delivery);
    std::size_t queued() const { return fresh_.size() + retries_.size() + queued_others_; }
    microseconds oldest() const;  // when it was submitted; only if queued() > 0

    // Returns the attempt's number for the circuit.
    std::uint64_t started(bool is_retry, microseconds now);
    // The same attempt sends a second request.
    void sent_again(microseconds now) { bucket_.take(now); }
    void parked(bool outdated);
    void ended(const WireResult& result, bool delivered, bool was_retry, bool was_parked,
               microseconds now, microseconds park_after);
    int in_flight() const { return running_ + parked_; }

    // What an attempt's end says about the endpoint.  True: the circuit opened or closed by it.
    bool judge_circuit(std::uint64_t attempt, const WireResult& result, bool delivered,
                       microseconds now);
    // True: it was open.
    bool close_circuit();
    // See Circuit.  What is handed back while the probe runs comes back soon, too.
    bool let_probe(microseconds now);
    // A delivery may start, only to see whether the endpoint is back, and there is none here.
    bool awaits_probe(microseconds now) const {
        return circuit_.state() == Circuit::State::Open && !is_blocked(now) && queued() == 0;
    }
    const Circuit& circuit() const { return circuit_; }
    const TokenBucket& bucket() const { return bucket_; }
    AccessToken& token() { return token_; }
    const AccessToken& token() const { return token_; }
    // Nothing may start, and nothing need wait here for it.
    bool is_blocked(microseconds now) const { return circuit_.blocks(now) || token_.rests(now); }

    // How long so many deliveries that are handed back together should stay away.
    milliseconds reserve_return(std::size_t deliveries, int max_per_hook, microseconds now);
    // From when retries may be read again; not after now: at once.
    microseconds wants_retries_at(microseconds now) const;
    // How many requests, one after the other, it answers within so long; 0: that is not known.
    std::size_t answers_within(microseconds time) const;
    bool slow() const;
    bool struggling() const { return slow() || failures_in_a_row_ >= struggling_after_failures; }
    // Nothing is known of the endpoint but that it takes its time.
    bool unproven(microseconds now) const {
        return slow_bits_known_ == 0 && in_flight() > 0 &&
               first_started_at_ <= now - unproven_after;
    }
    // Its name was found lately, so another request is not likely to need a look-up.
    bool is_resolved(microseconds now) const { return now < resolved_until_; }

    // The dispatcher's notes.
    Turns turns;
    bool ready = false;             // is in the list of lanes that may start
    bool expiry_scheduled = false;  // has an entry in the heap of queue ages
    bool dropped = false;           // lives on until its requests have ended
    bool hurries = false;           // its next batch waits for no more members
    bool gathers = false;           // is in the list of lanes that may wait for members
    bool circuit_changed = false;   // is in the list of changes that the host has not seen
    microseconds wakeup_at = microseconds::max();  // its entry among the wake-ups; max: none
    InFlight* fetcher = nullptr;     // the delivery whose attempt fetches the token; null: none
    std::vector<InFlight*> waiting;  // others in flight that go on when it is there

  private:
    bool has_capacity(int max_per_hook) const;
    bool retry_has_room(int max_per_hook) const;
    Queued remove(std::deque<Queued>& queue, std::size_t place);
    std::size_t batch_end(const std::deque<Queued>& queue, bool& is_full) const;
    microseconds batch_at(const std::deque<Queued>& queue) const;
    microseconds batch_at() const;
    // Deliveries that one request may carry.
    std::size_t per_request() const { return hook_->batch() == nullptr ? 1 : hook_->batch()->size; }
    std::size_t queue_max(const QueueRoom& room) const;
    int limit(int max_per_hook) const;
    void remember_speed(bool slow_answer);

    std::shared_ptr<const Hook> hook_;
    std::unique_ptr<WireLane> wire_lane_;
    std::deque<Queued> fresh_;
    std::deque<Queued> retries_;
    std::size_t queued_others_ = 0;  // of runs in the queues, beside the first of each
    bool last_was_retry_ = false;

    int running_ = 0;
    int parked_ = 0;
    int retries_in_flight_ = 0;
    int window_ = 1;
    int failures_in_a_row_ = 0;
    unsigned slow_bits_ = 0;  // the last attempts, newest in the lowest bit
    int slow_bits_known_ = 0;
    microseconds first_started_at_{0};  // of those in flight when nothing else was
    microseconds mean_response_{0};
    microseconds resolved_until_{0};
    microseconds reserved_until_{0};
    Circuit circuit_;
    TokenBucket bucket_;
    AccessToken token_;
};

}  // namespace whisperer::engine
