// Threads for errands; see workers.h.
#include "workers.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t queued_max_per_thread = 8;
constexpr std::chrono::seconds queued_time{2};

}  // namespace

Workers::Workers(std::size_t threads, std::function<void(const Task&)> run)
    : run_(std::move(run)), queued_max_(threads * queued_max_per_thread) {
    for (std::size_t i = 0; i < threads; i++)
        threads_.emplace_back([this] { work(); });
}

Workers::~Workers() {
    {
        const std::lock_guard lock(mutex_);
        is_ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_)
        thread.join();
}

bool Workers::submit(Task task) {
    {
        const std::lock_guard lock(mutex_);
        if (task.is_first && first_.size() >= queued_max_)
            return false;
        (task.is_first ? first_ : others_).push_back(std::move(task));
    }
    changed_.notify_one();
    return true;
}

std::vector<Workers::Task> Workers::take_late() {
    const auto before = Clock::now() - queued_time;
    std::vector<Task> late;
    const std::lock_guard lock(mutex_);
    for (; !first_.empty() && first_.front().queued_at < before; first_.pop_front())
        late.push_back(std::move(first_.front()));
    return late;
}

Workers::Task Workers::take() {
    constexpr unsigned of_those = 4;
    const bool is_first = others_.empty() || (!first_.empty() && ++taken_ % of_those != 0);
    std::deque<Task>& from = is_first ? first_ : others_;
    Task task = std::move(from.front());
    from.pop_front();
    return task;
}

void Workers::work() {
    for (;;) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return is_ending_ || !is_empty(); });
        if (is_empty())
            return;
        const Task task = take();
        lock.unlock();
        run_(task);
    }
}

}  // namespace whisperer::gateway
