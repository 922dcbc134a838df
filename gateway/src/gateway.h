// What all requests share: the routes, who is known, who waits, what is counted.  Used by all
// threads at once; the parts that change guard themselves.  What happens to a request is in
// exchange.h.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "addresses.h"
#include "authentication.h"
#include "codec.h"
#include "databases.h"
#include "request_rates.h"
#include "route.h"
#include "statistics.h"
#include "waiting.h"

namespace whisperer::gateway {

class Gateway {
  public:
    // embed_origins: of pages that may show the console in a frame; empty: none.
    Gateway(Databases& databases, Networks trusted_proxies, const std::string& embed_origins);
    Gateway(const Gateway&) = delete;
    Gateway& operator=(const Gateway&) = delete;

    // What never became a request; the connection ends after it.
    Reply refuse(const Problem& problem, const Address& peer);

    struct Match {
        const Route* route;
        std::vector<std::string> path_parts;
    };
    // Throws Problem: 404, 405.
    Match match(const Request& request) const;
    // An answer that is sent: logged and counted.  route: nothing if none was found.
    void note(const Request& request, int status, const Route* route, const std::string& role,
              std::chrono::steady_clock::duration took);

    Databases& databases() { return databases_; }
    Authentication& authentication() { return authentication_; }
    RequestRates& request_rates() { return request_rates_; }
    Waiting& waiting() { return waiting_; }
    const Networks& trusted_proxies() const { return trusted_proxies_; }
    // How many connections there are, for the metrics; set before the first request.
    void set_connection_count(std::function<std::size_t()> count) {
        connections_ = std::move(count);
    }

  private:
    Answer metrics(Call& call);

    Databases& databases_;
    const Networks trusted_proxies_;
    const std::vector<Route> routes_;
    Authentication authentication_;
    RequestRates request_rates_;
    Waiting waiting_;
    Statistics statistics_;
    std::function<std::size_t()> connections_;
};

// Whether the path is of the pattern, and what its parameters are.
bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& parts);

}  // namespace whisperer::gateway
