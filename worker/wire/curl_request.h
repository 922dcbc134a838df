// One easy handle and the facts of the request it is carrying.
//
// Lifecycle: made by a CurlLane when it has no idle one, begun, added to the multi handle by the
// transport, ended, idle, begun again, with another handle where libcurl is old.  All of this
// belongs to one lane for ever: libcurl carries credentials and TLS settings along on reuse.
// libcurl's callbacks get a pointer to it; they record facts in bounded memory, throw nothing and
// return.
//
// Invariant: an attempt is sent at most twice, the second time on a connection that was opened
// after the first.
#pragma once
#include <curl/curl.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "worker/rules/address_guard.h"
#include "worker/wire/connecting.h"
#include "worker/wire/connection_pool.h"
#include "worker/wire/lookup_room.h"
#include "worker/wire/response_capture.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

class CurlLane;

// What requests and transport share; owned by the transport, outlives every request.
struct CurlShared {
    CurlShared(const Clock& its_clock, EpollSet& sockets, int descriptors_max)
        : clock(its_clock), pools(its_clock, sockets, descriptors_max) {}

    const Clock& clock;
    Connecting connecting;
    Pools pools;
    std::shared_ptr<const Settings> settings;
    LookupRoom lookups;  // of requests whose name is not known to be resolved
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
    bool is_begun() const { return is_begun_; }
    const void* cookie() const { return request_.cookie; }
    // Why this must not be sent at all; empty: it may.
    std::string refusal(const WireRequest& request) const;
    void begin(WireRequest request);
    // Once the handle is out of the multi handle.  True: its connection broke, or was not fit to be
    // used again, before a byte of an answer came; the request has begun anew.
    bool begins_again(CURLcode code);
    // The result, once the handle is out of the multi handle.  The request is idle afterwards.
    WireResult end(CURLcode code);

    // Its lane's notes.
    CurlLane* lane = nullptr;
    std::size_t place = 0;  // among the running ones

  private:
    void prepare();
    void apply_options();
    void apply_network_options();
    void apply_pool();
    void apply_headers();
    void leave_pool(Heard heard);
    Heard heard(CURLcode code) const;
    bool was_left(CURLcode code) const;
    // Of the connection that it went out on.
    void note_version() noexcept;
    void note_end(CURLcode code) noexcept;
    bool may_use(std::uint16_t local_port, const Address& peer) noexcept;
    bool may_store(std::string_view header_line) noexcept;
    microseconds timeout() const;
    microseconds elapsed() const;
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
    WireProxy heard_of_proxy(ProxyStage stage) const;
    std::string proxy_text(ProxyStage stage, CURLcode code, microseconds elapsed) const;

    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
    static int on_request(void* self, char* remote_ip, char* local_ip, int remote_port,
                          int local_port);
    static int on_look_up(void* resolver, void* reserved, void* self);
    static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address);
    static int on_close(void* pools, curl_socket_t socket);

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
    std::int64_t applied_owner_ = 0;
    bool applied_untidy_ = false;

    // Of the running request; its origin stays for the next.
    std::shared_ptr<Origin> origin_;
    std::shared_ptr<ConnectionPool> pool_;

    // Facts of the running request.
    bool resolved_ = false;
    bool looks_up_ = false;          // a resolver was asked
    std::uint64_t number_ = 0;       // among those that connect
    bool opened_ = false;            // a connection of its own, or tried to
    bool tried_ = false;             // to connect to an address that is allowed
    bool had_peer_ = false;          // at a socket that was closed before it was sent
    bool is_begun_ = false;          // and has not ended
    bool is_used_ = false;           // the handle has had options and perhaps a request
    bool status_line_came_ = false;  // an interim answer's counts
    bool bad_status_line_ = false;
    bool header_line_came_ = false;  // that libcurl stores; see may_store
    bool bad_header_line_ = false;
    bool headers_complete_ = false;  // those of an answer that counts
    bool in_header_ = true;          // what comes is a header line yet
    bool cut_ = false;               // we stopped reading the headers
    int requests_sent_ = 0;          // of one begin: more than one if libcurl sent it again
    bool began_again_ = false;
    bool was_sent_ = false;            // before it began again
    microseconds spent_{0};            // before it began again
    bool is_reused_ = false;           // the connection had a request before
    bool is_unfit_ = false;            // the connection must not be used: nothing was sent
    bool is_multiplexed_ = false;      // the connection has other requests beside it
    std::uint64_t connection_ = 0;     // its number; 0: unknown
    std::uint64_t opened_before_ = 0;  // connections of the pool when it was sent last
    int our_errno_ = 0;                // a socket could not be made
    std::array<char, 64> refused_address_{};
};

}  // namespace whisperer::engine
