// How many requests wait for the worker of the extension at once: in all, of one client, of one
// token.  A place is counted as long as it lives.  Thread-safe.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace whisperer::gateway {

class Waiting {
  public:
    using Place = std::shared_ptr<void>;

    // token: by what it is known, not as it was written.  Throws Problem: 429 for one client or
    // token, 503 in all.
    Place enter(const std::string& client, const std::string& token);

  private:
    std::mutex mutex_;
    std::size_t count_ = 0;                        // guarded by mutex_, as the next
    std::map<std::string, std::size_t> by_owner_;  // a client, or a token
};

}  // namespace whisperer::gateway
