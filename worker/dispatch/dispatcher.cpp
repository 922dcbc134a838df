// Taking deliveries in and giving them turns.  How they end is in dispatcher_end.cpp.
#include "worker/dispatch/dispatcher.h"

#include <algorithm>

#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

// Room for requests that wait for slow endpoints, in multiples of max_in_flight.
constexpr int in_flight_factor = 8;

bool same_batches(const Hook& one, const Hook& other) {
    return one.batch() == nullptr ? other.batch() == nullptr
                                  : other.batch() != nullptr && *one.batch() == *other.batch();
}

}  // namespace

Dispatcher::Dispatcher(Clock& clock, Wire& wire, std::shared_ptr<const Settings> settings,
                       int descriptors_max)
    : clock_(clock),
      wire_(wire),
      settings_(std::move(settings)),
      descriptors_max_(std::max(descriptors_max, 1)) {
    wire_.configure(settings_);
}

Dispatcher::~Dispatcher() = default;

void Dispatcher::configure(std::shared_ptr<const Settings> settings) {
    wire_.configure(settings);
    settings_ = std::move(settings);
    own_fault_.clear();
    configured_at_ = clock_.steady();
    blocked_ = false;
    for (auto& [id, lane] : lanes_) {
        if (!settings_->circuit_breaker && lane->close_circuit())
            note_circuit_change(*lane);
        if (settings_->divert_to)
            lane->token().forget();
        wake(*lane);
    }
}

void Dispatcher::put_hook(std::shared_ptr<const Hook> hook) {
    const auto found = lanes_.find(hook->id());
    if (found == lanes_.end()) {
        const std::int64_t id = hook->id();
        const Priority priority = hook->priority();
        lanes_.emplace(id, std::make_unique<Lane>(std::move(hook), wire_.open_lane()));
        shares_.note_lane(priority, 1);
        return;
    }
    Lane& lane = *found->second;
    break_chains(lane.hook()->id());
    if (!same_batches(*hook, *lane.hook()))
        return_runs(lane);
    const auto queued = static_cast<std::int64_t>(lane.queued());
    note_queued(lane, -queued);
    if (!lane.dropped)
        shares_.note_lane(lane.hook()->priority(), -1);
    lane.dropped = false;
    if (lane.replace_hook(std::move(hook)))
        note_circuit_change(lane);
    shares_.note_lane(lane.hook()->priority(), 1);
    note_queued(lane, queued);
    wake(lane);
}

const Hook* Dispatcher::find_hook(std::int64_t id) const {
    const Lane* lane = find_lane(id);
    return lane == nullptr ? nullptr : lane->hook().get();
}

const Lane* Dispatcher::find_lane(std::int64_t hook_id) const {
    const auto found = lanes_.find(hook_id);
    return found == lanes_.end() || found->second->dropped ? nullptr : found->second.get();
}

void Dispatcher::submit(const WhispererEvent& event, const WhispererDelivery* deliveries,
                        std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        if (find_hook(deliveries[i].hook_id) == nullptr)
            throw Invalid("hook " + std::to_string(deliveries[i].hook_id) + " was not put");
    if (count == 0)
        return;
    const auto shared = std::make_shared<const Event>(event, &held_bytes_);
    const microseconds now = clock_.steady();
    std::size_t taken = 0;
    try {
        for (; taken < count; ++taken) {
            Lane& lane = *lanes_.at(deliveries[taken].hook_id);
            wake(lane);  // first: it may throw, and does no harm to an empty lane
            schedule_expiry(lane);
            lane.push({deliveries[taken].token, deliveries[taken].retry_count,
                       deliveries[taken].attempts_made, now, shared});
        }
    } catch (...) {
        while (taken-- > 0)
            lanes_.at(deliveries[taken].hook_id)->pop_newest(deliveries[taken].retry_count > 0);
        throw;
    }
    for (std::size_t i = 0; i < count; ++i)
        note_queued(*lanes_.at(deliveries[i].hook_id), 1);
    for (std::size_t i = 0; i < count; ++i)
        return_surplus(*lanes_.at(deliveries[i].hook_id), now);
}

WhispererCredit Dispatcher::credit() const {
    const std::int64_t held = shares_.queued() + static_cast<std::int64_t>(running_.size()) +
                              shares_.batched() + static_cast<std::int64_t>(outcomes_.size());
    WhispererCredit left{};
    left.deliveries = std::int64_t{credit_factor} * settings_->max_in_flight - held;
    left.bytes = settings_->queued_bytes_max - held_bytes_;
    left.is_short = 2 * left.deliveries < std::int64_t{credit_factor} * settings_->max_in_flight ||
                            2 * left.bytes < settings_->queued_bytes_max
                        ? 1
                        : 0;
    return left;
}

WhispererCounts Dispatcher::counts() const {
    WhispererCounts counts{};
    counts.in_flight = static_cast<std::int64_t>(running_.size() + parked_.size());
    counts.queued = shares_.queued();
    counts.queued_bytes = held_bytes_;
    counts.delivered_total = delivered_total_;
    counts.failed_attempts_total = failed_attempts_total_;
    counts.connections_total = wire_.connections_total();
    counts.reposts_total = reposts_total_;
    return counts;
}

int Dispatcher::in_flight_max() const {
    return static_cast<int>(std::min<std::int64_t>(
        std::int64_t{in_flight_factor} * settings_->max_in_flight, descriptors_max_));
}

// Whether the engine as a whole has room for one more request of this lane.  Every lane that has
// nothing in flight keeps a place for its first, as long as that leaves three quarters.
bool Dispatcher::has_room_for(const Lane& lane, microseconds now) const {
    const std::int64_t total = static_cast<std::int64_t>(running_.size() + parked_.size());
    const std::int64_t max = in_flight_max();
    const std::int64_t idle_lanes = static_cast<std::int64_t>(lanes_.size()) - busy_lanes_;
    const std::int64_t reserve = lane.in_flight() == 0 ? 0 : std::min(idle_lanes, max / 4);
    if (total >= max - reserve)
        return false;
    const bool fetches = must_fetch(lane, now);
    const Target& target =
        fetches ? *lane.hook()->auth().token_target() : *destination(*lane.hook());
    return target.host_is_address || (!fetches && lane.is_resolved(now)) ||
           wire_.may_look_up(target.host);
}

void Dispatcher::wake(Lane& lane) {
    if (lane.ready)
        return;
    if (lane.turns.goes_first(lane.hook()->priority()))
        ready_.push_front(&lane);
    else
        ready_.push_back(&lane);
    lane.ready = true;
    blocked_ = false;
}

void Dispatcher::schedule_expiry(Lane& lane) {
    if (lane.expiry_scheduled)
        return;
    const microseconds oldest = lane.queued() > 0 ? lane.oldest() : clock_.steady();
    expiries_.push({oldest + settings_->park_after + lane.batch_wait(), lane.hook()->id()});
    lane.expiry_scheduled = true;
}

void Dispatcher::wake_due(microseconds now) {
    while (!wakeups_.empty() && wakeups_.begin()->first <= now) {
        Lane& lane = *wakeups_.begin()->second;
        wake(lane);
        wakeups_.erase(wakeups_.begin());
        lane.wakeup_at = microseconds::max();
    }
}

// A lane whose rate is used up, or whose batch waits for members, leaves the turns and costs
// nothing until it may go on.
void Dispatcher::await_turn(Lane& lane, microseconds now) {
    const microseconds at = lane.wants_turn_at(settings_->max_in_flight_per_hook, now);
    if (at == microseconds::max())
        return;
    if (lane.hook()->batch() != nullptr && !lane.gathers) {
        gathering_.push_back(&lane);
        lane.gathers = true;
    }
    if (lane.wakeup_at == at)
        return;
    wakeups_.emplace(at, &lane);
    wakeups_.erase({lane.wakeup_at, &lane});
    lane.wakeup_at = at;
}

// Round and round, one request each (but see priorities.h), until nobody may or can, until there
// are enough to go out, or until enough was compressed that sockets should be looked at before
// there is more.  Returns how many were started.
int Dispatcher::start_ready() {
    const microseconds now = clock_.steady();
    const int max_per_hook = settings_->max_in_flight_per_hook;
    std::size_t refused = 0;
    int started = 0;
    while (refused < ready_.size() && gzipped_bytes_ < gzipped_bytes_max && started < push_size &&
           running_.size() < static_cast<std::size_t>(settings_->max_in_flight)) {
        Lane& lane = *ready_.front();
        ready_.pop_front();
        lane.ready = false;
        lane.hurries = must_hurry(lane);
        if (lane.may_start(max_per_hook, now) && lane.turns.has_come(lane.hook()->priority())) {
            const bool has_room = has_room_for(lane, now);
            if (has_room)
                start(lane);
            else
                lane.turns.refused();
            started += has_room ? 1 : 0;
            refused = has_room ? 0 : refused + 1;
        }
        if (lane.may_start(max_per_hook, now))
            wake(lane);
        else
            await_turn(lane, now);
    }
    blocked_ = !ready_.empty() && gzipped_bytes_ < gzipped_bytes_max && started < push_size;
    return started;
}

void Dispatcher::start(Lane& lane) {
    running_.emplace_back();
    InFlight& flight = running_.back();
    flight.self = std::prev(running_.end());
    flight.lane = &lane;
    flight.hook = lane.hook();
    flight.target = destination(*flight.hook);
    if (flight.hook->batch() == nullptr)
        flight.delivery = lane.take(settings_->max_in_flight_per_hook);
    else
        take_batch(flight);
    note_queued(lane, -1);
    lane.turns.taken();
    flight.started_at = clock_.steady();
    flight.started_unix = clock_.unix_time();
    flight.timeout = flight.hook->timeout(settings_->request_timeout);
    first_deadline_ = std::min(first_deadline_, flight.deadline());
    busy_lanes_ += lane.in_flight() == 0 ? 1 : 0;
    flight.circuit_attempt = lane.started(flight.delivery.retry_count > 0, flight.started_at);
    authorize_and_send(flight);
    return_surplus(lane, flight.started_at);  // if this is a probe, all
}

const std::shared_ptr<const Target>& Dispatcher::destination(const Hook& hook) const {
    return settings_->divert_to ? settings_->divert_to : hook.target();
}

void Dispatcher::send(InFlight& flight) {
    const Hook& hook = *flight.hook;
    WireRequest request;
    request.cookie = &flight;
    request.owner = hook.owner();
    request.timeout = flight.timeout;
    request.attempt_headers = attempt_headers(flight);
    if (flight.batch == nullptr) {
        request.event_headers = flight.delivery.event->header_lines();
        add_body(request, hook, flight.delivery.event);
    } else {
        request.event_headers = flight.batch->header_lines();
        add_body(request, hook, flight.batch);
        request.response_bytes_max = response_body_bytes_max;
    }
    request.target = flight.target = destination(hook);
    if (settings_->divert_to) {
        request.hook_headers = hook.diverted_header_lines();
        flight.token_number = 0;
    } else {
        request.hook_headers = hook.header_lines();
        request.identity = hook.auth().identity();
        if (!flight.authorization.empty())
            request.attempt_headers.push_back(flight.authorization);
    }
    // A header that the hook sets stays the hook's, and what is of one event stays out of a batch.
    const EventMeta* meta =
        flight.batch == nullptr ? flight.delivery.event->meta() : flight.batch->meta();
    if (meta != nullptr)
        add_apart(
            meta->lines(!settings_->divert_to),
            {&request.attempt_headers, request.event_headers.get(), request.hook_headers.get()},
            request.attempt_headers);
    wire_.start(flight.lane->wire_lane(), std::move(request));
}

// Of an event or a batch, which is signed as it is and may travel compressed.
template <typename Holder>
void Dispatcher::add_body(WireRequest& request, const Hook& hook,
                          const std::shared_ptr<const Holder>& holder) {
    if (!hook.wants_gzip() || !is_gzipped(holder->body().size())) {
        request.body = {holder, &holder->body()};
        return;
    }
    request.body = {holder, &holder->gzipped()};
    request.attempt_headers.push_back("Content-Encoding: gzip");
    gzipped_bytes_ += holder->body().size();
}

HeaderLines Dispatcher::attempt_headers(const InFlight& flight) const {
    const Event& event = *flight.delivery.event;
    const std::string_view id = flight.batch == nullptr ? event.id() : flight.batch->id();
    const std::string& body = flight.batch == nullptr ? event.body() : flight.batch->body();
    const std::string timestamp =
        std::to_string(std::chrono::floor<seconds>(flight.started_unix).count());
    HeaderLines lines;
    lines.reserve(6);
    if (flight.batch == nullptr)
        lines.push_back(encoded_line("X-Whisperer-Event", event.type()));
    lines.push_back(std::string("webhook-id: ").append(id));
    lines.push_back("webhook-timestamp: " + timestamp);
    const std::int32_t metadata = flight.hook->metadata();
    if (event.metadata() != nullptr)
        event.metadata()->add_to(lines, metadata);
    if ((metadata & WhispererMetadataAttempt) != 0)
        lines.push_back("X-Whisperer-Attempt: " +
                        std::to_string(flight.delivery.attempts_made + 1));
    flight.hook->signer().add_lines(lines, id, timestamp, body);
    return lines;
}

void Dispatcher::pump() {
    gzipped_bytes_ = 0;
    wire_.step();
    collect();
    const microseconds now = clock_.steady();
    park_old(now);
    cut_overdue(now);
    wake_due(now);
    if (!gathering_.empty())
        hurry_batches();
    // Before old ones are handed back, so that a pause of our host is not the endpoints' fault.
    start_and_push();
    return_old(now);
    // Once more: requests on kept-alive connections may have made room for others by now.
    if (!blocked_)
        start_and_push();
}

void Dispatcher::start_and_push() {
    send_authorized();
    // Requests that end at once make room for others: sockets are to be looked at before those.
    int started = 0, total = 0;
    do {
        started = start_ready();
        total += started;
        wire_.push_started();
        collect();
    } while (started == push_size && total < settings_->max_in_flight);
}

std::int64_t Dispatcher::wait_ms() const {
    if (!outcomes_.empty() || (!ready_.empty() && !blocked_) ||
        next_authorized() != authorized_.end())
        return 0;
    microseconds next = wire_.next_step();
    if (!running_.empty())
        next = std::min(next, running_.front().started_at + settings_->park_after);
    if (first_deadline_ != microseconds::max())
        next = std::min<microseconds>(next, first_deadline_ + overdue_grace);
    if (!expiries_.empty())
        next = std::min(next, expiries_.top().at);
    if (!wakeups_.empty())
        next = std::min(next, wakeups_.begin()->first);
    if (next == microseconds::max())
        return -1;
    const microseconds now = clock_.steady();
    return next <= now ? 0 : std::chrono::ceil<milliseconds>(next - now).count();
}

bool Dispatcher::take_outcome(Outcome& outcome) {
    if (outcomes_.empty())
        return false;
    outcome = std::move(outcomes_.front());
    outcomes_.pop_front();
    return true;
}

}  // namespace whisperer::engine
