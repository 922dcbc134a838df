// Who a request speaks for: the role of its token.
//
// PostgreSQL decides (whisperer.api_token_role, which compares in constant time).  An answer holds
// for three seconds, so a token that is revoked is good for three seconds more at most.  Tokens are
// remembered by their SHA-256 alone.  How many requests the role may make is asked for with it, and
// holds as long.  Thread-safe.
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

// Whom a token stands for.
struct Caller {
    std::string role;
    int requests_per_second_max = 0;  // 0: any number
    std::string raise = {};           // the statement with which a superuser raises that
};

class Authentication {
  public:
    explicit Authentication(Pool& pool) : pool_(pool) {}

    // client is whom failures count against.  Throws Problem: 401 without a good token, 429 for a
    // client that has tried too many, 503.
    Caller caller_of(const Request& request, const std::string& client);

    // What the token is known by, however a client spells the header: its SHA-256.
    static std::string key_of(const Request& request);

    // It calls itself the token of a link into the console; no token has the letters of another
    // kind.
    static bool is_portal(const Request& request);

    // The number that is in a token that was let in.
    static std::string id_of(const Request& request);

    // The role could not be taken after all.
    void forget(const Request& request);

  private:
    using Time = std::chrono::steady_clock::time_point;
    struct Known {
        Caller caller;
        Time checked_at;
    };

    // Whose a token was that was good lately, and whether it need not be asked for again.
    struct Remembered {
        Caller caller;
        bool is_fresh = false;
    };
    Remembered remembered(const std::string& hash, Time now);
    Caller look_up(std::string_view token);  // an empty role: it stands for none
    void remember(const std::string& hash, const Caller& caller, Time now);

    Pool& pool_;
    Throttle throttle_;
    std::mutex mutex_;
    std::unordered_map<std::string, Known> known_;  // by hash; guarded by mutex_
};

}  // namespace whisperer::gateway
