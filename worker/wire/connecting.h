// Requests that try one address after the other.
//
// When an address of a name has failed, libcurl (seen with 7.88) tries the next one only when
// something else happens to the request, which may be half of its time to connect later: two dead
// addresses cost 2.5 s.  So it is noted which socket was opened for which request that has no
// connection yet; the transport pushes those of which one was closed.  A socket may outlive its
// request, so it has the request's number and no pointer.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace whisperer::engine {

class CurlRequest;

class Connecting {
  public:
    std::uint64_t new_number() { return ++last_number_; }

    void opened(int socket, std::uint64_t number, CurlRequest* request) {
        const auto index = static_cast<std::size_t>(socket);
        if (index >= openers_.size())
            openers_.resize(index + 1);
        requests_.emplace(number, request);
        openers_[index] = number;
    }
    // Calls note(request) if the request that it was opened for still tries.
    template <typename Note>
    void closed(int socket, Note note) noexcept {
        const auto index = static_cast<std::size_t>(socket);
        if (index >= openers_.size())
            return;
        const std::uint64_t number = std::exchange(openers_[index], 0);
        const auto found = requests_.find(number);
        if (found == requests_.end())
            return;
        note(*found->second);
        try {
            left_.push_back(number);
        } catch (...) {
            // It goes on when libcurl thinks of it.
        }
    }
    // It has a connection, or has ended.
    void forget(std::uint64_t number) noexcept { requests_.erase(number); }
    // Calls push(request) for those of which a socket was closed.
    template <typename Push>
    void push_left(Push push) {
        for (const std::uint64_t number : std::exchange(left_, {}))
            if (const auto found = requests_.find(number); found != requests_.end())
                push(*found->second);
    }

  private:
    std::uint64_t last_number_ = 0;
    std::vector<std::uint64_t> openers_;  // by descriptor; 0: none
    std::unordered_map<std::uint64_t, CurlRequest*> requests_;
    std::vector<std::uint64_t> left_;
};

}  // namespace whisperer::engine
