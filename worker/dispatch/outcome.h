// What came of a delivery, before it goes through the door.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "worker/base/clock.h"
#include "worker/engine.h"
#include "worker/rules/envelope.h"

namespace whisperer::engine {

// Why a delivery comes back without an attempt.
struct PutOff {
    const char* text;
    WhispererErrorCode code = WhispererErrorNone;
};
constexpr PutOff rate_limited{"rate limit", WhispererErrorRateLimit};
constexpr PutOff circuit_open{"circuit is open", WhispererErrorCircuitOpen};
constexpr PutOff endpoint_busy{"endpoint is busy", WhispererErrorEndpointBusy};
constexpr PutOff awaits_token{"token is being fetched", WhispererErrorAwaitsToken};
constexpr PutOff outranked{"hooks of a higher priority go first", WhispererErrorOutranked};
constexpr PutOff token_not_fetched{"token could not be fetched"};
constexpr PutOff hook_dropped{"hook was dropped"};

struct Outcome {
    std::uint64_t token = 0;
    std::int64_t hook_id = 0;
    WhispererOutcomeKind kind = WhispererReturned;
    int http_status = 0;
    bool attempted = false;
    bool hook_gone = false;
    bool given_up = false;
    bool outdated = false;
    microseconds started_at{0};  // Unix
    microseconds response_time{0};
    milliseconds next_after{0};
    milliseconds asked_after{0};
    std::string response;
    std::string error;
    WhispererErrorCode error_code = WhispererErrorNone;
    std::shared_ptr<const Event> event;  // only one that the host is told more of
    std::uint64_t front_first = 0;       // WhispererUnsent: see engine.h
    std::uint64_t front_last = 0;
};

}  // namespace whisperer::engine
