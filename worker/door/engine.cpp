// The door, as engine.h promises it: creates the parts, hands calls on, lets nothing thrown out.
#include "worker/engine.h"

#include <curl/curl.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <vector>

#include "worker/base/clock.h"
#include "worker/dispatch/dispatcher.h"
#include "worker/door/boundary.h"
#include "worker/wire/curl_transport.h"
#include "worker/wire/http_versions.h"

using namespace whisperer::engine;

namespace {

// What requests may use of this process's descriptors: half, for the host keeps files open too.
int affordable_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 256;
    return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 2, 16, 65536));
}

// What a thread that looks a name up may use of the stack.  The usual 8 MB, reserved for each, are
// more than the memory that the host may have left.
constexpr std::size_t thread_stack_bytes = 512 * 1024;

void limit_thread_stacks() {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return;
    if (pthread_attr_setstacksize(&attributes, thread_stack_bytes) == 0)
        pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

// libcurl and OpenSSL stay initialised until the process ends: other engines may follow.
struct LibcurlReady {
    LibcurlReady() {
        limit_thread_stacks();
        static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
        if (code != CURLE_OK)
            throw std::runtime_error("libcurl could not be initialised");
    }
};

WhispererOutcome door_outcome(const Outcome& outcome) {
    WhispererOutcome door{};
    door.token = outcome.token;
    door.hook_id = outcome.hook_id;
    door.kind = outcome.kind;
    door.http_status = outcome.http_status;
    door.attempted = outcome.attempted ? 1 : 0;
    door.hook_gone = outcome.hook_gone ? 1 : 0;
    door.given_up = outcome.given_up ? 1 : 0;
    door.outdated = outcome.outdated ? 1 : 0;
    door.started_at_us = outcome.started_at.count();
    door.response_time_us = outcome.response_time.count();
    door.next_after_ms = outcome.next_after.count();
    door.asked_after_ms = outcome.asked_after.count();
    door.response = {outcome.response.data(), outcome.response.size()};
    door.error = {outcome.error.data(), outcome.error.size()};
    door.error_code = outcome.error_code;
    door.front_first = outcome.front_first;
    door.front_last = outcome.front_last;
    if (outcome.event && outcome.event->has_own_body())
        door.body = {outcome.event->body().data(), outcome.event->body().size()};
    if (outcome.event)
        door.format = {outcome.event->format().data(), outcome.event->format().size()};
    return door;
}

}  // namespace

// The parts in order of dependence: each lives at least as long as those below it.
struct WhispererEngine {
    explicit WhispererEngine(const WhispererSettings& settings)
        : dispatcher(clock, transport, std::make_shared<const Settings>(settings), descriptors) {}

    LibcurlReady libcurl;
    SystemClock clock;
    int descriptors = affordable_descriptors();
    CurlTransport transport{clock, descriptors};
    Dispatcher dispatcher;
    std::vector<Outcome> handed_out;  // what the host's spans point into
    // Work without an answer was not finished: some delivery may never be told of.
    bool is_broken = false;
};

WhispererEngine* whisperer_engine_create(const WhispererSettings* settings,
                                         WhispererError* error) noexcept {
    WhispererEngine* engine = nullptr;
    guarded(error, [&] { engine = new WhispererEngine(*settings); });
    return engine;
}

void whisperer_engine_destroy(WhispererEngine* engine) noexcept {
    guarded(nullptr, [&] { delete engine; });
}

WhispererCode whisperer_engine_configure(WhispererEngine* engine, const WhispererSettings* settings,
                                         WhispererError* error) noexcept {
    return guarded(
        error, [&] { engine->dispatcher.configure(std::make_shared<const Settings>(*settings)); });
}

WhispererCode whisperer_engine_put_hook(WhispererEngine* engine, const WhispererHook* hook,
                                        WhispererError* error) noexcept {
    return guarded(error, [&] {
        const Settings& settings = engine->dispatcher.settings();
        const Hook* known = engine->dispatcher.find_hook(hook->id);
        if (known != nullptr && known->is_made_from(*hook, settings.user_agent))
            return;
        engine->dispatcher.put_hook(
            std::make_shared<const Hook>(*hook, settings.user_agent, settings.require_https));
    });
}

void whisperer_engine_drop_hook(WhispererEngine* engine, int64_t hook_id) noexcept {
    engine->is_broken |=
        guarded(nullptr, [&] { engine->dispatcher.drop_hook(hook_id); }) != WhispererOk;
}

WhispererCode whisperer_engine_submit(WhispererEngine* engine, const WhispererEvent* event,
                                      const WhispererDelivery* deliveries, size_t count,
                                      WhispererError* error) noexcept {
    return guarded(error, [&] { engine->dispatcher.submit(*event, deliveries, count); });
}

WhispererCode whisperer_engine_submit_run(WhispererEngine* engine, const WhispererEvent* events,
                                          const WhispererDelivery* deliveries, size_t count,
                                          size_t requests_max, size_t* taken,
                                          WhispererError* error) noexcept {
    *taken = 0;
    return guarded(error, [&] {
        *taken = engine->dispatcher.submit_run(events, deliveries, count, requests_max);
    });
}

void whisperer_engine_break_chains(WhispererEngine* engine, int64_t hook_id) noexcept {
    engine->is_broken |=
        guarded(nullptr, [&] { engine->dispatcher.break_chains(hook_id); }) != WhispererOk;
}

void whisperer_engine_batch(const WhispererEngine* engine, int64_t hook_id,
                            WhispererBatch* batch) noexcept {
    const Hook* hook = engine->dispatcher.find_hook(hook_id);
    const BatchRule* rule = hook == nullptr ? nullptr : hook->batch();
    *batch = {1, 0, 0, static_cast<int32_t>(engine->dispatcher.chain_max(hook_id))};
    if (rule != nullptr)
        *batch = {static_cast<int32_t>(rule->size), static_cast<int64_t>(rule->bytes),
                  rule->wait.count(), batch->chain};
}

void whisperer_engine_credit(const WhispererEngine* engine, WhispererCredit* credit) noexcept {
    *credit = engine->dispatcher.credit();
}

void whisperer_engine_counts(const WhispererEngine* engine, WhispererCounts* counts) noexcept {
    *counts = engine->dispatcher.counts();
}

void whisperer_engine_own_fault(const WhispererEngine* engine, char* text,
                                size_t capacity) noexcept {
    const std::string_view fault = engine->dispatcher.own_fault();
    std::snprintf(text, capacity, "%.*s", static_cast<int>(fault.size()), fault.data());
}

void whisperer_http_versions(char* text, size_t capacity) noexcept {
    *text = '\0';
    guarded(nullptr, [&] { std::snprintf(text, capacity, "%s", http_versions_text().c_str()); });
}

int whisperer_engine_fd(const WhispererEngine* engine) noexcept {
    return engine->transport.fd();
}

int64_t whisperer_engine_wait_ms(const WhispererEngine* engine) noexcept {
    return engine->dispatcher.wait_ms();
}

WhispererCode whisperer_engine_pump(WhispererEngine* engine, WhispererError* error) noexcept {
    return guarded(error, [&] {
        if (engine->is_broken)
            throw std::bad_alloc();
        engine->dispatcher.pump();
    });
}

size_t whisperer_engine_outcomes(WhispererEngine* engine, WhispererOutcome* outcomes,
                                 size_t capacity) noexcept {
    std::vector<Outcome>& handed_out = engine->handed_out;
    handed_out.clear();
    guarded(nullptr, [&] {
        // All the room first: a span points into its outcome, so none may move afterwards.
        handed_out.reserve(std::min(capacity, engine->dispatcher.outcomes_waiting()));
        Outcome outcome;
        while (handed_out.size() < capacity && engine->dispatcher.take_outcome(outcome))
            handed_out.push_back(std::move(outcome));
    });
    for (std::size_t i = 0; i < handed_out.size(); ++i)
        outcomes[i] = door_outcome(handed_out[i]);
    return handed_out.size();
}

size_t whisperer_engine_circuit_changes(WhispererEngine* engine, WhispererCircuit* circuits,
                                        size_t capacity) noexcept {
    std::size_t taken = 0;
    guarded(nullptr, [&] {
        while (taken < capacity && engine->dispatcher.take_circuit_change(circuits[taken]))
            ++taken;
    });
    return taken;
}

int whisperer_engine_next_attempt(WhispererEngine* engine, int64_t hook_id, int32_t attempts_made,
                                  int64_t* wait_ms) noexcept {
    std::optional<milliseconds> wait;
    guarded(nullptr, [&] {
        if (const Hook* hook = engine->dispatcher.find_hook(hook_id))
            wait = hook->retry_plan().wait_after(attempts_made, engine->clock);
    });
    *wait_ms = wait ? wait->count() : 0;
    return wait ? 1 : 0;
}

int64_t whisperer_engine_hook_wait_ms(const WhispererEngine* engine, int64_t hook_id) noexcept {
    return engine->dispatcher.hook_wait_ms(hook_id);
}

int whisperer_engine_probe_hook(WhispererEngine* engine, int64_t hook_id) noexcept {
    int is_probed = 0;
    guarded(nullptr, [&] { is_probed = engine->dispatcher.probe_hook(hook_id) ? 1 : 0; });
    return is_probed;
}

int whisperer_engine_full_priorities(const WhispererEngine* engine) noexcept {
    return engine->dispatcher.full_priorities();
}

int whisperer_engine_awaits_probe(const WhispererEngine* engine, int64_t hook_id) noexcept {
    return engine->dispatcher.awaits_probe(hook_id) ? 1 : 0;
}
