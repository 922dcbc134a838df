// A dispatcher with a clock that stands still and a wire that answers when told.
#pragma once
#include <gtest/gtest.h>

#include "tests/unit/fakes.h"
#include "worker/dispatch/dispatcher.h"

namespace whisperer::engine {

inline WhispererSpan span(const char* text) {
    return {text, std::char_traits<char>::length(text)};
}

inline WhispererSettings small_settings() {
    WhispererSettings settings{};
    settings.max_in_flight = 8;
    settings.max_in_flight_per_hook = 4;
    settings.park_after_ms = 1000;
    settings.request_timeout_ms = 10000;
    settings.connect_timeout_ms = 5000;
    settings.queued_bytes_max = 1 << 20;
    settings.failure_response_bytes_max = 8192;
    settings.success_response_bytes_max = 1024;
    settings.version = span("1.0");
    return settings;
}

class DispatcherTest : public testing::Test {
  protected:
    void put(std::int64_t id, const char* retry = "", const char* url = "http://192.0.2.1/",
             double rate_limit = 0, const char* auth = "", const char* headers = "") {
        WhispererHook hook{};
        hook.id = id;
        hook.target_url = span(url);
        hook.secret_key = span("secret");
        hook.retry_config = span(retry);
        hook.rate_limit = rate_limit;
        hook.auth = span(auth);
        hook.additional_headers = span(headers);
        dispatcher.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    }

    void submit(std::int64_t hook_id, std::uint64_t token, int retry_count = 0) {
        WhispererEvent event{};
        event.id[15] = static_cast<std::uint8_t>(token);
        event.type = span("e");
        event.data = span("{}");
        const WhispererDelivery delivery{token, hook_id, retry_count, retry_count};
        dispatcher.submit(event, &delivery, 1);
    }

    std::vector<Outcome> outcomes() {
        std::vector<Outcome> taken;
        Outcome outcome;
        while (dispatcher.take_outcome(outcome))
            taken.push_back(std::move(outcome));
        return taken;
    }

    std::vector<Outcome> pump() {
        dispatcher.pump();
        return outcomes();
    }

    FakeClock clock;
    FakeWire wire;
    Dispatcher dispatcher{clock, wire, std::make_shared<const Settings>(small_settings()), 1000};
};

}  // namespace whisperer::engine
