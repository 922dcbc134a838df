// What happens between a request and its answer: find the route, know who asks, read what is asked,
// run it, say what came of it; log and count it.  Called by all workers at once; the parts that
// change (Pool, Authentication, Statistics) guard themselves.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "addresses.h"
#include "authentication.h"
#include "codec.h"
#include "pool.h"
#include "route.h"
#include "statistics.h"

namespace whisperer::gateway {

class Gateway {
  public:
    Gateway(Pool& pool, Networks trusted_proxies);
    Gateway(const Gateway&) = delete;
    Gateway& operator=(const Gateway&) = delete;

    // In a worker: the whole life of a request.
    Reply reply(Head head, const Address& peer, bool last);
    // What never became a request.
    Reply refuse(const Problem& problem, const Address& peer);

    const Networks& trusted_proxies() const { return trusted_proxies_; }
    // How many connections there are, for the metrics; set before the first request.
    void set_connection_count(std::function<std::size_t()> count) {
        connections_ = std::move(count);
    }

  private:
    struct Match {
        const Route* route;
        std::vector<std::string> path_parts;
    };
    struct Outcome {
        Answer answer;
        std::string role;
        std::size_t route;  // for Statistics
    };

    Answer answer(Request& request, const Address& peer);
    Answer refusal(Request& request, const Problem& problem);
    Answer finish(const Request& request, Outcome outcome,
                  std::chrono::steady_clock::duration took);
    Outcome outcome_of(Request& request, const std::string& client);
    Match match(const Request& request) const;
    Answer run(Call& call);
    Answer metrics(Call& call);

    Pool& pool_;
    const Networks trusted_proxies_;
    const std::vector<Route> routes_;
    Authentication authentication_;
    Statistics statistics_;
    std::function<std::size_t()> connections_;
};

// Whether the path is of the pattern, and what its parameters are.
bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& parts);

}  // namespace whisperer::gateway
