// One easy handle and the facts of the request it is carrying.
//
// Lifecycle: made by a CurlLane when it has no idle one, begun, added to the multi handle by the
// transport, ended, idle, begun again.  A handle belongs to one lane for ever: libcurl carries
// credentials and TLS settings along on reuse.  libcurl's callbacks get a pointer to it; they
// record facts in bounded memory, throw nothing and return.
#pragma once
#include <curl/curl.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "worker/rules/address_guard.h"
#include "worker/wire/connecting.h"
#include "worker/wire/lookup_room.h"
#include "worker/wire/response_capture.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

class EpollSet;
class CurlLane;

// What requests and transport share; owned by the transport, outlives every request.
struct CurlShared {
    std::shared_ptr<const Settings> settings;
    EpollSet* sockets = nullptr;
    const Clock* clock = nullptr;
    LookupRoom lookups;  // of requests whose name is not known to be resolved
    Connecting connecting;
    std::int64_t connections = 0;
};

// Where a request that went by the proxy ended, if the proxy is the reason.
enum class ProxyStage {
    None,         // there is no proxy, or it is not the reason
    Unresolved,   // its name was not found
    Unreachable,  // no connection to it
    Unknown,      // it does not know us
    Refused,      // it has answered CONNECT with a refusal
    Silent        // it has not answered CONNECT
};

class CurlRequest {
  public:
    explicit CurlRequest(CurlShared& shared);
    ~CurlRequest();
    CurlRequest(const CurlRequest&) = delete;
    CurlRequest& operator=(const CurlRequest&) = delete;

    CURL* easy() const { return easy_; }
    const void* cookie() const { return request_.cookie; }
    // Why this must not be sent at all; empty: it may.
    std::string refusal(const WireRequest& request) const;
    void begin(WireRequest request);
    // The result, once the handle is out of the multi handle.  The request is idle afterwards.
    WireResult end(CURLcode code);

    // Its lane's notes.
    CurlLane* lane = nullptr;
    std::size_t place = 0;  // among the running ones

  private:
    void apply_options();
    void apply_network_options();
    void apply_headers();
    std::optional<seconds> retry_after() const;
    bool has_begun_to_answer() const;
    void set_resolved() noexcept;
    void end_lookup(CURLcode code);
    const std::string& looked_up_name() const;
    bool was_refused(CURLcode code) const;
    bool allows(const Address& address, std::uint16_t port) noexcept;
    std::string failure_text(CURLcode code, microseconds elapsed) const;
    std::string timeout_text(microseconds elapsed) const;
    std::string tls_text(CURLcode code) const;
    long tunnel_status() const;
    ProxyStage proxy_stage(CURLcode code, long answered_status) const;
    std::string proxy_text(ProxyStage stage, CURLcode code, microseconds elapsed) const;

    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
    static int on_request(void* self, char* remote_ip, char* local_ip, int remote_port,
                          int local_port);
    static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address);
    static int on_close(void* shared, curl_socket_t socket);

    CurlShared& shared_;
    CURL* easy_;
    WireRequest request_;
    std::vector<curl_slist> header_list_;  // points into request_'s lines
    ResponseCapture capture_;
    std::array<char, CURL_ERROR_SIZE> error_{};

    // What the options that stay set were set from.
    std::shared_ptr<const Target> applied_target_;
    std::shared_ptr<const Settings> applied_settings_;
    std::shared_ptr<const ClientIdentity> applied_identity_;

    // Facts of the running request.
    bool resolved_ = false;
    std::uint64_t number_ = 0;  // among those that connect
    bool opened_ = false;       // a connection of its own, or tried to
    bool tried_ = false;        // to connect to an address that is allowed
    bool headers_complete_ = false;
    bool cut_ = false;       // we stopped reading the headers
    int requests_sent_ = 0;  // more than one: libcurl sent it again on a fresh connection
    int our_errno_ = 0;      // a socket could not be made
    std::array<char, 64> refused_address_{};
};

}  // namespace whisperer::engine
