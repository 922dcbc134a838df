// Who a request speaks for: the role of its token.
//
// PostgreSQL decides (whisperer.api_token_role, which compares in constant time).  An answer holds
// for three seconds, so a token that is revoked is good for three seconds more at most.  Tokens are
// remembered by their SHA-256 alone.  Thread-safe.
#pragma once
#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "http.h"
#include "pool.h"
#include "throttle.h"

namespace whisperer::gateway {

class Authentication {
  public:
    explicit Authentication(Pool& pool) : pool_(pool) {}

    // The role; client is whom failures count against.  Throws Problem: 401 without a good token,
    // 429 for a client that has tried too many, 503.
    std::string role_of(const Request& request, const std::string& client);

    // What the token is known by, however a client spells the header: its SHA-256.
    static std::string key_of(const Request& request);

    // It calls itself the token of a link into the console; no token has the letters of another
    // kind.
    static bool is_portal(const Request& request);

    // The role could not be taken after all.
    void forget(const Request& request);

  private:
    using Time = std::chrono::steady_clock::time_point;
    struct Known {
        std::string role;
        Time checked_at;
    };

    // The role of a token that was good lately, and whether it need not be asked for again.
    struct Remembered {
        std::string role;
        bool is_fresh = false;
    };
    Remembered remembered(const std::string& hash, Time now);
    std::string look_up(std::string_view token);  // empty: it stands for no role
    void remember(const std::string& hash, const std::string& role, Time now);

    Pool& pool_;
    Throttle throttle_;
    std::mutex mutex_;
    std::unordered_map<std::string, Known> known_;  // by hash; guarded by mutex_
};

}  // namespace whisperer::gateway
