// What came of a delivery, before it goes through the door.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "worker/base/clock.h"
#include "worker/engine.h"
#include "worker/rules/envelope.h"

namespace whisperer::engine {

struct Outcome {
    std::uint64_t token = 0;
    std::int64_t hook_id = 0;
    WhispererOutcomeKind kind = WhispererReturned;
    int http_status = 0;
    bool attempted = false;
    bool hook_gone = false;
    bool given_up = false;
    bool outdated = false;
    bool refused = false;
    microseconds started_at{0};  // Unix
    microseconds response_time{0};
    milliseconds next_after{0};
    milliseconds asked_after{0};
    std::string response;
    std::string error;
    std::shared_ptr<const Event> event;  // only one that the host is told more of
    std::uint64_t front_first = 0;       // WhispererUnsent: see engine.h
    std::uint64_t front_last = 0;
};

}  // namespace whisperer::engine
