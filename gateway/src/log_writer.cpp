// Writing the log; see log_writer.h.
#include "log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>
#include <thread>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace whisperer::gateway {

namespace {

constexpr std::size_t queue_bytes_max = 1024 * 1024;
// What POSIX promises to write in one piece, beside others that write to the same pipe.
constexpr std::size_t write_bytes_max = 4096;
constexpr std::chrono::milliseconds retry_after{250};
constexpr std::size_t other_bytes_max = 1000;  // of a line that is not ours

int checked(int result, const char* what) {
    if (result < 0)
        throw std::system_error(errno, std::generic_category(), what);
    return result;
}

// What a library says before it aborts is in the pipe: the threads get a moment to write it.
void linger(int) {
    const timespec moment{0, 200'000'000};
    nanosleep(&moment, nullptr);
}

}  // namespace

LogWriter::LogWriter(Lines lines)
    : lines_(std::move(lines)),
      target_(checked(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), "standard error")) {
    int ends[2];
    checked(pipe2(ends, O_CLOEXEC), "pipe");
    others_ = Descriptor(ends[0]);
    const Descriptor input(ends[1]);
    // Who prints there must not wait either.
    checked(fcntl(ends[1], F_SETFL, O_NONBLOCK), "pipe");
    checked(dup2(ends[1], STDERR_FILENO), "standard error");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    __sanitizer_set_report_fd(reinterpret_cast<void*>(static_cast<std::uintptr_t>(target_.get())));
#endif
    std::signal(SIGABRT, linger);
    std::thread([this] { read_others(); }).detach();
    std::thread([this] { write_lines(); }).detach();
}

void LogWriter::add(std::string line) {
    const std::lock_guard lock(mutex_);
    if (queue_bytes_ + line.size() > queue_bytes_max) {
        dropped_++;
        return;
    }
    queue_bytes_ += line.size();
    queue_.push_back(std::move(line));
    if (queue_.size() == 1)
        changed_.notify_all();
}

std::size_t LogWriter::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

bool LogWriter::end(std::chrono::milliseconds time) {
    // Nobody can print into the pipe any more, so that its reader comes to an end.
    dup2(target_.get(), STDERR_FILENO);
    std::unique_lock lock(mutex_);
    is_ending_ = true;
    changed_.notify_all();
    return changed_.wait_for(lock, time, [this] { return has_ended_; });
}

void LogWriter::write_lines() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return is_ending_ || !queue_.empty() || dropped_ > told_; });
        std::string text;
        while (!queue_.empty() &&
               (text.empty() || text.size() + queue_.front().size() <= write_bytes_max)) {
            text += queue_.front();
            queue_bytes_ -= queue_.front().size();
            queue_.pop_front();
        }
        // They would have come after all that were in the queue.
        if (text.empty() && dropped_ > told_) {
            text = lines_.dropped(dropped_ - told_);
            told_ = dropped_;
        }
        if (text.empty())
            break;
        lock.unlock();
        write_whole(text);
        lock.lock();
    }
    has_ended_ = true;
    changed_.notify_all();
}

// A line that was begun is never left half: it would break the next one.  So whatever is wrong, a
// pipe that is closed or a disk that is full, it is tried again.
void LogWriter::write_whole(const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t written = write(target_.get(), text.data() + done, text.size() - done);
        if (written >= 0) {
            done += static_cast<std::size_t>(written);
            continue;
        }
        if (errno == EINTR)
            continue;
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, retry_after, [this] { return is_ending_; });
        if (is_ending_ && errno != EAGAIN)
            return;
    }
}

void LogWriter::read_others() {
    std::string text;
    char buffer[1024];
    for (ssize_t got; (got = read(others_.get(), buffer, sizeof buffer)) != 0;) {
        if (got < 0 && errno != EINTR)
            return;
        text.append(buffer, got < 0 ? 0 : static_cast<std::size_t>(got));
        for (std::size_t end;
             (end = text.find('\n')) != std::string::npos || text.size() > other_bytes_max;) {
            end = std::min(end, other_bytes_max);
            add(lines_.of_others(text.substr(0, end)));
            text.erase(0, end + 1);
        }
    }
}

}  // namespace whisperer::gateway
