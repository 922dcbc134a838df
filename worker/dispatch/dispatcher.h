// The dispatcher: takes deliveries, lets lanes have their turns on the wire, tells what came of it.
//
// Invariants: every delivery taken gets exactly one final outcome; no more than max_in_flight
// requests run at once (parked ones aside), no more than in_flight_max() in all; the cost of a pump
// depends on what is happening, not on how many lanes there are.
// Owned by the door (engine.cpp), which calls everything here from one thread.
#pragma once
#include <deque>
#include <list>
#include <queue>
#include <set>
#include <unordered_map>
#include <vector>

#include "worker/dispatch/common_health.h"
#include "worker/dispatch/lane.h"
#include "worker/dispatch/outcome.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

// Queued, running and not yet collected deliveries, in multiples of max_in_flight.
inline constexpr int credit_factor = 4;
// So many requests go out at once.  Before they do the idle connections are looked at; what that
// says lasts for a millisecond (look_lasts), and more would not be started within it.
inline constexpr int push_size = 32;
// After its deadline an attempt has this long to end by itself before it is cut off ...
inline constexpr milliseconds overdue_grace{500};
// ... and a parked delivery is promised to have ended after this long.
inline constexpr milliseconds parked_grace{1000};
// A fault of our own is told of for this long after it was met last.
inline constexpr seconds own_fault_shown{10};

// A delivery whose attempt runs: its request is with the wire, or it waits for a token that is
// being fetched, or for its turn to be sent with one.
struct InFlight {
    Lane* lane = nullptr;
    std::shared_ptr<const Hook> hook;
    std::shared_ptr<const Target> target;  // where its request goes
    Queued delivery;
    std::shared_ptr<const Batch> batch;  // null: the event's own body is sent
    microseconds started_at{0};
    microseconds started_unix{0};
    microseconds timeout{0};
    std::uint64_t circuit_attempt = 0;  // its number for its lane's circuit
    bool parked = false;
    std::string authorization;       // the line with the token that was fetched; empty: none
    std::uint64_t token_number = 0;  // which of its lane's tokens that is; 0: none
    bool was_renewed = false;        // sent, refused with 401, and to be sent again
    std::list<InFlight>::iterator self;

    microseconds deadline() const { return started_at + timeout; }
};

class Dispatcher {
  public:
    // descriptors_max: how many requests this process can afford in all.  Clock and wire are
    // borrowed and outlive the dispatcher.
    Dispatcher(Clock& clock, Wire& wire, std::shared_ptr<const Settings> settings,
               int descriptors_max);
    ~Dispatcher();
    Dispatcher(const Dispatcher&) = delete;
    Dispatcher& operator=(const Dispatcher&) = delete;

    void configure(std::shared_ptr<const Settings> settings);
    const Settings& settings() const { return *settings_; }

    void put_hook(std::shared_ptr<const Hook> hook);
    const Hook* find_hook(std::int64_t id) const;  // null: unknown or dropped
    void drop_hook(std::int64_t id);

    // All or nothing.  Throws Invalid for an unknown hook.
    void submit(const WhispererEvent& event, const WhispererDelivery* deliveries,
                std::size_t count);
    // As many of the events as go into one request to their hook, from the first on: they are sent
    // together and end together.  More than one request: a chain.  Returns how many.
    std::size_t submit_run(const WhispererEvent* events, const WhispererDelivery* deliveries,
                           std::size_t count, std::size_t requests_max = 1);
    // 0: of all hooks.
    void break_chains(std::int64_t hook_id);
    // Of how many requests a chain of the hook's is worth while; at least 1.
    std::size_t chain_max(std::int64_t hook_id) const;
    WhispererCredit credit() const;
    // See engine.h.
    int full_priorities() const;
    WhispererCounts counts() const;

    void pump();
    // 0: now; -1: no deadline.
    std::int64_t wait_ms() const;
    std::size_t outcomes_waiting() const { return outcomes_.size(); }
    bool take_outcome(Outcome& outcome);
    // What keeps requests from going out that is no endpoint's fault, if it was met lately. Without
    // anything of a hook in it.
    std::string_view own_fault() const;
    // How long the host should not read retries of this hook.
    std::int64_t hook_wait_ms(std::int64_t hook_id) const;
    // If its circuit is open, its next delivery is a probe.  True: one runs already.
    bool probe_hook(std::int64_t hook_id);
    // A probe of the hook's open circuit is due, and there is nothing here to make it with.
    bool awaits_probe(std::int64_t hook_id) const;
    // The hook whose circuit changed first, and its circuit as it is now.
    bool take_circuit_change(WhispererCircuit& circuit);

  private:
    using InFlightList = std::list<InFlight>;  // oldest first

    struct Expiry {
        microseconds at;
        std::int64_t hook_id;
        bool operator>(const Expiry& other) const { return at > other.at; }
    };

    int in_flight_max() const;
    bool has_room_for(const Lane& lane, microseconds now) const;
    const Lane* find_lane(std::int64_t hook_id) const;  // null: unknown or dropped
    void wake(Lane& lane);
    void schedule_expiry(Lane& lane);
    void wake_due(microseconds now);
    void await_turn(Lane& lane, microseconds now);
    void start_and_push();
    int start_ready();
    void start(Lane& lane);
    // Where requests by this definition go now.
    const std::shared_ptr<const Target>& destination(const Hook& hook) const;
    void send(InFlight& flight);
    HeaderLines attempt_headers(const InFlight& flight) const;
    template <typename Holder>
    void add_body(WireRequest& request, const Hook& hook,
                  const std::shared_ptr<const Holder>& holder);
    void collect();
    void take_result(InFlight& flight, WireResult&& result);
    void finish(InFlight& flight, WireResult&& result);
    void end_attempt(const InFlight& flight, const Queued& delivery, WireResult&& result,
                     std::string failure);
    void note_own_fault(const InFlight& flight, std::string text);
    void note_lookup(const InFlight& flight, const Target& target, WireResult& result);
    void note_proxy(const InFlight& flight, const Target& target, WireResult& result);
    void park_old(microseconds now);
    void cut_overdue(microseconds now);
    InFlight* find_overdue(microseconds now);  // null: none is
    void return_old(microseconds now);
    void return_surplus(Lane& lane, microseconds now);
    bool credit_is_short() const;
    bool is_full(Priority priority) const;
    bool must_hurry(const Lane& lane) const;
    void note_queued(const Lane& lane, std::int64_t change) {
        shares_.note_queued(lane.hook()->priority(), change);
    }
    void note_circuit_change(Lane& lane);
    void forget_circuit_change(Lane& lane);
    void give_back(Lane& lane, Queued& delivery, microseconds now, const PutOff& why);
    void give_back_queued(Lane& lane, Queued& delivery, microseconds now, const PutOff& why);
    void forget_if_done(Lane& lane);

    // Several deliveries in one request: dispatcher_batch.cpp.
    void return_runs(Lane& lane);
    void take_batch(InFlight& flight);
    void forget_others(const InFlight& flight);
    void hurry_batches();
    std::vector<std::string> read_batch_answer(const InFlight& flight, WireResult& result) const;
    void end_batch(const InFlight& flight, const WireResult& result,
                   std::vector<std::string> failures);
    template <typename Do>
    static void for_each_delivery(const Queued& delivery, Do act) {
        act(delivery);
        for (const Queued& other : delivery.others)
            act(other);
    }

    // Requests that go one after the other: dispatcher_chain.cpp.
    Queued gather_run(Lane& lane, const WhispererEvent* events, const WhispererDelivery* deliveries,
                      std::size_t count, bool& is_full);
    bool may_go_on(const Lane& lane, const Queued& delivery, microseconds now) const;
    void go_on(Lane& lane, Queued& delivery);
    void break_chain(Lane& lane, Queued& delivery);

    // Tokens that must be fetched: dispatcher_token.cpp.
    bool must_fetch(const Lane& lane, microseconds now) const;
    void authorize_and_send(InFlight& flight);
    void fetch_token(InFlight& flight);
    void end_fetch(InFlight& flight, WireResult&& result);
    bool renew_token(InFlight& flight, const WireResult& result);
    std::deque<InFlight*>::const_iterator next_authorized() const;
    void send_authorized();
    void withdraw(InFlight& flight);
    void give_up_fetch(Lane& lane);

    Clock& clock_;
    Wire& wire_;
    std::shared_ptr<const Settings> settings_;
    int descriptors_max_;
    std::int64_t held_bytes_ = 0;  // outlives every Event: before lanes and requests

    std::unordered_map<std::int64_t, std::unique_ptr<Lane>> lanes_;
    std::deque<Lane*> ready_;        // lanes that may start, in turn
    bool blocked_ = false;           // the last turn left ready lanes for want of room
    std::size_t gzipped_bytes_ = 0;  // of bodies that this pump has compressed
    std::priority_queue<Expiry, std::vector<Expiry>, std::greater<>> expiries_;
    std::set<std::pair<microseconds, Lane*>> wakeups_;  // for their rate, or with their batch
    std::vector<Lane*> gathering_;  // of those with a batch, all that may wait for members
    std::deque<Lane*> changed_circuits_;
    CommonHealth names_;    // by host name
    CommonHealth tunnels_;  // through the proxy, by host and port
    std::string own_fault_;
    microseconds own_fault_at_{0};
    microseconds configured_at_{0};

    InFlightList running_;
    InFlightList parked_;
    microseconds first_deadline_ = microseconds::max();  // of both; none is earlier
    std::deque<InFlight*> authorized_;  // of both, those that have a token and are to be sent
    std::vector<WireResult> results_;
    std::deque<Outcome> outcomes_;

    Shares shares_;
    std::int64_t busy_lanes_ = 0;  // with something in flight
    std::int64_t chained_ = 0;     // requests that wait in chains
    std::int64_t delivered_total_ = 0;
    std::int64_t failed_attempts_total_ = 0;
    std::int64_t reposts_total_ = 0;
};

}  // namespace whisperer::engine
