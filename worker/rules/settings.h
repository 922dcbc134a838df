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

// Of an answer's body no more is read.
inline constexpr std::size_t response_body_bytes_max = 64 * 1024;

// A hook's, in requests per second.
inline constexpr double rate_limit_max = 1e6;

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
    bool any_key_exchange;
    AddressGuard guard;
    std::shared_ptr<const Target> divert_to;  // null: off
    std::string proxy;
    std::string ca_file;
    std::string user_agent;
};

}  // namespace whisperer::engine
