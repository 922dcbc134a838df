// The queue of log lines and the thread that writes them; what else is printed on standard error
// passes through it, too.  See log.h.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "descriptor.h"

namespace whisperer::gateway {

class LogWriter {
  public:
    struct Lines {
        std::function<std::string(std::size_t)> dropped;           // for so many
        std::function<std::string(const std::string&)> of_others;  // a line that was printed
    };

    // Takes standard error over, and gives it back at the end.
    explicit LogWriter(Lines lines);
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;
    // Its threads may outlive everything.
    ~LogWriter() = delete;

    // With its line feed.
    void add(std::string line);
    bool end(std::chrono::milliseconds time);
    std::size_t dropped() const;

  private:
    void write_lines();
    void write_whole(const std::string& text);
    void read_others();

    const Lines lines_;
    Descriptor target_;  // what was standard error
    Descriptor others_;  // the end to read of the pipe that is standard error now
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    // All below are guarded by mutex_.
    std::deque<std::string> queue_;
    std::size_t queue_bytes_ = 0;
    std::size_t dropped_ = 0;  // in all
    std::size_t told_ = 0;     // of those
    bool is_ending_ = false;
    bool has_ended_ = false;
};

}  // namespace whisperer::gateway
