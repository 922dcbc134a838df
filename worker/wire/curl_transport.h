// The real wire: libcurl's multi socket interface on an epoll set.
//
// Lifecycle: one per engine.  Lanes (CurlLane) are owned by dispatcher's lanes and must be gone
// before the transport.  All calls into libcurl that may start a resolver thread run with signals
// blocked, or that thread would run the host's signal handlers.
#pragma once
#include <curl/curl.h>

#include "worker/wire/curl_request.h"
#include "worker/wire/epoll_set.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

class CurlTransport final : public Wire {
  public:
    // curl_global_init was done.  descriptors_max bounds the connections that are kept; requests
    // are the dispatcher's.
    CurlTransport(const Clock& clock, int descriptors_max);
    ~CurlTransport() override;

    void configure(std::shared_ptr<const Settings> settings) override;
    std::unique_ptr<WireLane> open_lane() override;
    void start(WireLane& lane, WireRequest request) override;
    void cancel(WireLane& lane, const void* cookie) override;
    void step() override;
    void push_started() override;
    void take_results(std::vector<WireResult>& results) override;
    int lookups() const override { return shared_.lookups.waiting(); }
    bool may_look_up(const std::string& host) const override;
    microseconds next_step() const override { return timer_; }
    int fd() const override { return sockets_.fd(); }
    std::int64_t connections_total() const override { return shared_.connections; }

  private:
    friend class CurlLane;
    void set_resolver_options();
    void run_timer();
    void look_at_idle_connections();
    void push_connecting();
    void read_messages();
    static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* unused);
    static int on_timer(CURLM* multi, long timeout_ms, void* self);

    const Clock& clock_;
    EpollSet sockets_;
    CurlShared shared_;
    CURLM* multi_;
    microseconds timer_ = microseconds::max();
    std::vector<WireResult> results_;
    bool out_of_memory_ = false;  // a callback could not do its work
    bool has_started_ = false;    // requests that libcurl has not begun with
    int idle_handles_ = 0;
};

}  // namespace whisperer::engine
