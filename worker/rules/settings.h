// The settings of the door, checked and in the engine's own terms.
//
// Immutable and shared: a request that started under one set of settings ends under it.  Made by
// the door at create and configure; read by dispatcher and transport.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "worker/base/clock.h"
#include "worker/engine.h"
#include "worker/rules/address_guard.h"
#include "worker/rules/url.h"

namespace whisperer::engine {

struct Settings {
    // Throws Invalid, naming the setting.
    explicit Settings(const WhispererSettings& door);

    int max_in_flight;
    int max_in_flight_per_hook;
    microseconds park_after;
    microseconds request_timeout;
    microseconds connect_timeout;
    std::int64_t queued_bytes_max;
    std::size_t failure_response_bytes_max;
    std::size_t success_response_bytes_max;
    bool require_https;
    bool circuit_breaker;
    AddressGuard guard;
    std::shared_ptr<const Target> divert_to;  // null: off
    std::string proxy;
    std::string ca_file;
    std::string user_agent;
};

inline std::string_view view_of(WhispererSpan span) {
    return span.data == nullptr ? std::string_view() : std::string_view(span.data, span.size);
}

}  // namespace whisperer::engine
