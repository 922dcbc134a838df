// Drives an engine through its door the way the host does: pump, sleep on the descriptor, collect.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/http_server.h"
#include "worker/engine.h"

namespace whisperer::engine {

inline WhispererSpan span_of(const std::string& text) {
    return {text.data(), text.size()};
}

struct Got {
    std::uint64_t token;
    std::int64_t hook_id;
    WhispererOutcomeKind kind;
    int http_status;
    bool attempted;
    bool hook_gone;
    std::int64_t started_at_us;
    std::int64_t response_time_us;
    std::int64_t next_after_ms;
    std::string response;
    std::string error;
    WhispererErrorCode error_code;
};

class EngineDriver {
  public:
    EngineDriver() {
        settings.max_in_flight = 256;
        settings.max_in_flight_per_hook = 64;
        settings.park_after_ms = 1000;
        settings.request_timeout_ms = 10000;
        settings.connect_timeout_ms = 5000;
        settings.queued_bytes_max = 64 << 20;
        settings.failure_response_bytes_max = 8192;
        settings.success_response_bytes_max = 1024;
        settings.allowed_networks = {"127.0.0.0/8", 11};
        settings.version = {"1.0", 3};
    }
    ~EngineDriver() { whisperer_engine_destroy(engine); }

    void create() {
        engine = whisperer_engine_create(&settings, &error);
        ASSERT_NE(engine, nullptr) << error.message;
    }

    WhispererCode configure() { return whisperer_engine_configure(engine, &settings, &error); }

    WhispererCode put_hook(std::int64_t id, const std::string& url,
                           const std::string& secret = "secret", const std::string& headers = "",
                           const std::string& retry = "", const std::string& previous = "",
                           std::int64_t owner = 10) {
        WhispererHook hook{};
        hook.id = id;
        hook.owner = owner;
        hook.target_url = span_of(url);
        hook.secret_key = span_of(secret);
        hook.previous_secret_key = span_of(previous);
        hook.additional_headers = span_of(headers);
        hook.retry_config = span_of(retry);
        return whisperer_engine_put_hook(engine, &hook, &error);
    }

    WhispererCode submit(std::uint64_t token, std::int64_t hook_id,
                         const std::string& data = R"({"id":61})",
                         const std::string& type = "package-created", int retry_count = 0) {
        WhispererEvent event{};
        for (std::size_t i = 0; i < 16; ++i)
            event.id[i] = static_cast<std::uint8_t>(i + 1);
        event.type = span_of(type);
        event.data = span_of(data);
        const WhispererDelivery delivery{token, hook_id, retry_count, retry_count};
        return whisperer_engine_submit(engine, &event, &delivery, 1, &error);
    }

    // One turn of the host's loop; sleeps at most until the engine's deadline (or 20 ms, for the
    // server's sake).
    void turn(HttpServer* server) {
        ASSERT_EQ(whisperer_engine_pump(engine, &error), WhispererOk) << error.message;
        collect();
        if (server != nullptr)
            server->step();
        std::int64_t wait_ms = whisperer_engine_wait_ms(engine);
        wait_ms = wait_ms < 0 ? 20 : std::min<std::int64_t>(wait_ms, 20);
        std::vector<pollfd> fds{{whisperer_engine_fd(engine), POLLIN, 0}};
        if (server != nullptr)
            for (int fd : server->fds())
                fds.push_back({fd, POLLIN, 0});
        poll(fds.data(), fds.size(), static_cast<int>(wait_ms));
        if (server != nullptr)
            server->step();
        ++turns;
    }

    // False: it did not come true in time.
    bool run_until(HttpServer* server, const std::function<bool()>& done,
                   std::chrono::milliseconds limit = std::chrono::seconds(20)) {
        const auto end = std::chrono::steady_clock::now() + limit;
        while (!done()) {
            if (std::chrono::steady_clock::now() > end)
                return false;
            turn(server);
            if (testing::Test::HasFatalFailure())
                return false;
        }
        return true;
    }

    bool run_for(HttpServer* server, std::size_t outcomes) {
        return run_until(server, [&] { return got.size() >= outcomes; });
    }

    void collect() {
        WhispererOutcome outcomes[64];
        for (std::size_t n; (n = whisperer_engine_outcomes(engine, outcomes, 64)) > 0;)
            for (std::size_t i = 0; i < n; ++i) {
                const WhispererOutcome& o = outcomes[i];
                got.push_back({o.token, o.hook_id, o.kind, o.http_status, o.attempted != 0,
                               o.hook_gone != 0, o.started_at_us, o.response_time_us,
                               o.next_after_ms, std::string(o.response.data, o.response.size),
                               std::string(o.error.data, o.error.size), o.error_code});
            }
    }

    WhispererSettings settings{};
    WhispererEngine* engine = nullptr;
    WhispererError error{};
    std::vector<Got> got;
    std::int64_t turns = 0;
};

}  // namespace whisperer::engine
