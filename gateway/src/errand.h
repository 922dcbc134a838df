// What a request is on its way from the connections' thread through the workers and back, without
// a word of what it wants.  One thread has it at a time.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "problem.h"

namespace whisperer::gateway {

using Clock = std::chrono::steady_clock;

// What goes back on a connection.
struct Reply {
    std::string bytes = {};
    std::string_view fixed = {};  // follows them; lives as long as the process
    bool closes = false;          // and after it the connection ends
    bool has_more = false;        // the errand goes on when this has gone
    bool is_rest = false;         // of an answer whose head has gone
    bool is_broken = false;       // what was begun cannot be finished: the connection ends at once

    std::size_t size() const { return bytes.size(); }
};

class Errand {
  public:
    // No reply: it waits, and holds no thread; it goes on at a time.
    struct Step {
        std::optional<Reply> reply;
        Clock::time_point again_at = {};
    };

    virtual ~Errand() = default;
    // In a worker.  is_last: the gateway stops, and there will be no other step.  Does not throw.
    virtual Step go_on(bool is_last) = 0;
    // In any thread, in place of the first step or of the reply that it led to.
    virtual Reply refuse(const Problem& problem) = 0;
    // In the connections' thread, once: the answer that was made last is the one that is sent.
    virtual void note() = 0;
    // Whom its answer is for, by address.
    virtual const std::string& client() const = 0;
};

}  // namespace whisperer::gateway
