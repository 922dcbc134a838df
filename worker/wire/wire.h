// The wire as an interface: what the dispatcher asks of a transport, so that tests have a fake one.
//
// One direction: the dispatcher calls the wire, the wire records results and calls nobody.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/base/clock.h"
#include "worker/rules/client_identity.h"
#include "worker/rules/headers.h"
#include "worker/rules/settings.h"
#include "worker/rules/url.h"

namespace whisperer::engine {

// What a transport keeps for one lane (handles with their state).  Owned by the lane; destroying it
// drops its requests without a result.
class WireLane {
  public:
    virtual ~WireLane() = default;
};

struct WireRequest {
    void* cookie = nullptr;  // comes back in the result; distinct among running requests
    std::int64_t owner = 0;  // requests of different owners share no connection
    std::shared_ptr<const Target> target;
    std::shared_ptr<const HeaderLines> hook_headers;   // the same for all requests of a hook
    std::shared_ptr<const HeaderLines> event_headers;  // the same for all its hooks; null: none
    HeaderLines attempt_headers;
    std::shared_ptr<const std::string> body;
    std::shared_ptr<const ClientIdentity> identity;  // null: none
    std::size_t response_bytes_max = 0;              // kept of the answer; 0: by the settings
    microseconds timeout{0};                         // 0: by the settings
};

enum class WireEnd {
    Answered,  // a final status line and all headers came; the body may be cut
    Failed,    // no (complete) answer: error says why
    OurFault   // not sent for a reason of this machine (descriptors, memory, names)
};

// What was heard of the proxy before anything of the target.
enum class WireProxy {
    None,      // there is none, or it was not reached
    Answered,  // with a tunnel, a refusal, or an answer
    Silent     // it took the connection, and does not answer as a proxy
};

struct WireResult {
    void* cookie = nullptr;
    WireEnd end = WireEnd::Failed;
    WireProxy proxy = WireProxy::None;
    int http_status = 0;
    bool resolved = false;    // the name was found, or there was none to look up
    bool looked_up = false;   // the target's name was looked up for it, whether it was found or not
    bool refused = false;     // by the address guard or by require_https: nothing was sent
    bool connected = false;   // with TLS where there is any: a request could be sent
    bool sent_again = false;  // the first connection broke, so it went out twice
    bool outdated = false;    // the dispatcher's note: its lane's requests go elsewhere by now
    microseconds elapsed{0};
    std::optional<seconds> retry_after;
    std::string location;  // of a redirect
    bool is_cut = false;   // response is not all of the body that came or was announced
    std::string response;
    std::string error;
};

class Wire {
  public:
    virtual ~Wire() = default;
    virtual void configure(std::shared_ptr<const Settings> settings) = 0;
    virtual std::unique_ptr<WireLane> open_lane() = 0;
    // Its result comes with a later take_results, also when it cannot be started.
    virtual void start(WireLane& lane, WireRequest request) = 0;
    // Drops a running request; no result comes.
    virtual void cancel(WireLane& lane, const void* cookie) = 0;
    // Moves bytes.  Never waits.
    virtual void step() = 0;
    // Lets requests that were just started go out, without looking at sockets.
    virtual void push_started() = 0;
    // Appends what has ended since the last call.
    virtual void take_results(std::vector<WireResult>& results) = 0;
    // Requests whose host name is not known to be resolved.
    virtual int lookups() const = 0;
    // Whether one more may be started that has to look up this name.
    virtual bool may_look_up(const std::string& host) const = 0;
    // The steady moment of the next step that is due without any socket; microseconds::max(): none.
    virtual microseconds next_step() const = 0;
    virtual int fd() const = 0;
    virtual std::int64_t connections_total() const = 0;
};

}  // namespace whisperer::engine
