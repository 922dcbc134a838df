// Options, callbacks and the end of one request.
#include "worker/wire/curl_request.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>

#include "worker/base/clean_text.h"
#include "worker/wire/epoll_set.h"
#include "worker/wire/retry_after.h"

namespace whisperer::engine {
namespace {

constexpr long connection_lifetime_s = 300;  // or a receiver's fail-over in DNS is never seen

// The text must live as long as the option is set.
void set_blob(CURL* easy, CURLoption option, const std::string& text) {
    curl_blob blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, option, &blob);
}

// A receiver chooses the size of a key exchange with finite fields: the group of 8192 bits that
// TLS 1.3 has a name for takes a tenth of a second of the only thread.  TLS 1.2 says it in the
// cipher suite, 1.3 among the groups.
void allow_curves_only(CURL* easy) {
    constexpr unsigned long with_ml_kem = 0x30500000;  // OpenSSL 3.5
    curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, "ECDHE:!aNULL:!eNULL");
    curl_easy_setopt(easy, CURLOPT_SSL_EC_CURVES,
                     OpenSSL_version_num() >= with_ml_kem
                         ? "X25519MLKEM768:X25519:P-256:X448:P-384:P-521"
                         : "X25519:P-256:X448:P-384:P-521");
}

}  // namespace

CurlRequest::CurlRequest(CurlShared& shared) : shared_(shared), easy_(curl_easy_init()) {
    if (easy_ == nullptr)
        throw std::bad_alloc();
}

CurlRequest::~CurlRequest() {
    curl_easy_cleanup(easy_);
}

std::string CurlRequest::refusal(const WireRequest& request) const {
    const Settings& settings = *shared_.settings;
    const Target& target = *request.target;
    if (settings.require_https && !target.https && request.target != settings.divert_to)
        return "http is not allowed (whisperer.require_https is on)";
    if (settings.proxy.empty())
        return {};
    // Behind a proxy the guard sees only the proxy, so what can be said without it is said here.
    std::string host = target.host;
    if (host.ends_with('.'))
        host.pop_back();
    if (const auto address = Address::parse(host))
        return settings.guard.allows(*address, target.port) ? std::string()
                                                            : "address " + host + " is not allowed";
    if (host == "localhost" || host.ends_with(".localhost"))
        return "host " + host + " is not allowed";
    return {};
}

void CurlRequest::begin(WireRequest request) {
    request_ = std::move(request);
    if (applied_target_ != request_.target || applied_settings_ != shared_.settings ||
        applied_identity_ != request_.identity)
        apply_options();
    apply_headers();
    const std::string& body = *request_.body;
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body.c_str());
    capture_.restart(
        std::max({shared_.settings->failure_response_bytes_max,
                  shared_.settings->success_response_bytes_max, request_.response_bytes_max}));
    error_[0] = '\0';
    headers_complete_ = false;
    cut_ = false;
    requests_sent_ = 0;
    our_errno_ = 0;
    refused_address_[0] = '\0';
    number_ = shared_.connecting.new_number();
    opened_ = false;
    tried_ = false;
    resolved_ = request_.target->host_is_address && shared_.settings->proxy.empty();
    if (!resolved_)
        shared_.lookups.started(looked_up_name());
}

void CurlRequest::apply_options() {
    const Settings& settings = *shared_.settings;
    curl_easy_reset(easy_);
    curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_.data());
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_URL, request_.target->url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy_, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy_, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    curl_easy_setopt(easy_, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(settings.request_timeout / milliseconds(1)));
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(settings.connect_timeout / milliseconds(1)));
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &CurlRequest::on_header);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &CurlRequest::on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &CurlRequest::on_request);
    curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
    curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &CurlRequest::on_open);
    curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, this);
    // A connection outlives the request that opened it, so closing knows only the transport.
    curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETFUNCTION, &CurlRequest::on_close);
    curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETDATA, &shared_);
    apply_network_options();
    applied_target_ = request_.target;
    applied_settings_ = shared_.settings;
    applied_identity_ = request_.identity;
}

void CurlRequest::apply_network_options() {
    const Settings& settings = *shared_.settings;
    curl_easy_setopt(easy_, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy_, CURLOPT_MAXLIFETIME_CONN, connection_lifetime_s);
    // An empty string, unlike NULL, also turns the environment's proxies off.
    curl_easy_setopt(easy_, CURLOPT_PROXY, settings.proxy.c_str());
    curl_easy_setopt(easy_, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    const bool https = request_.target->https;
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION,
                     static_cast<long>(https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    if (!https)
        return;
    // Wait for a connection that can carry many rather than open many.
    curl_easy_setopt(easy_, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 2L);
    if (!settings.any_key_exchange)
        allow_curves_only(easy_);
    if (!settings.ca_file.empty())
        curl_easy_setopt(easy_, CURLOPT_CAINFO, settings.ca_file.c_str());
    if (request_.identity != nullptr) {
        // libcurl takes PEM by default, and compares certificates before it uses a connection
        // again.
        set_blob(easy_, CURLOPT_SSLCERT_BLOB, request_.identity->certificate);
        set_blob(easy_, CURLOPT_SSLKEY_BLOB, request_.identity->key);
    }
}

// libcurl reads the list while the request runs and never writes to it, so the nodes can be ours
// and the text stays where it is.
void CurlRequest::apply_headers() {
    header_list_.clear();
    const std::array<const HeaderLines*, 2> both{&request_.attempt_headers,
                                                 request_.hook_headers.get()};
    for (const HeaderLines* lines : both)
        for (const std::string& line : *lines)
            header_list_.push_back({const_cast<char*>(line.c_str()), nullptr});
    for (std::size_t i = 1; i < header_list_.size(); ++i)
        header_list_[i - 1].next = &header_list_[i];
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, header_list_.data());
}

WireResult CurlRequest::end(CURLcode code) {
    WireResult result;
    result.cookie = request_.cookie;
    curl_off_t elapsed_us = 0;
    curl_easy_getinfo(easy_, CURLINFO_TOTAL_TIME_T, &elapsed_us);
    result.elapsed = microseconds(elapsed_us);
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    long connections = 0;
    curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connections);
    shared_.connections += connections;

    result.resolved = resolved_;
    const bool not_found =
        !resolved_ && (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_OPERATION_TIMEDOUT);
    result.looked_up = !request_.target->host_is_address && shared_.settings->proxy.empty() &&
                       (opened_ || not_found);
    result.connected = requests_sent_ > 0;
    result.refused = was_refused(code);
    const bool answered = headers_complete_ && status >= 200;
    const ProxyStage proxy = proxy_stage(code, answered ? status : 0);
    if (answered && proxy == ProxyStage::None) {
        result.end = WireEnd::Answered;
        result.http_status = static_cast<int>(status);
        const bool success = status / 100 == 2;
        const std::size_t bytes_max = success ? shared_.settings->success_response_bytes_max
                                              : shared_.settings->failure_response_bytes_max;
        result.response = capture_.text(
            request_.response_bytes_max != 0 ? request_.response_bytes_max : bytes_max);
        if (status == 429 || status == 503)
            result.retry_after = retry_after();
        char* location = nullptr;
        curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &location);
        if (location != nullptr)
            result.location = to_clean_line(location, 256);
    } else {
        const bool ours = (our_errno_ != 0 && !result.refused) ||
                          (code == CURLE_OUT_OF_MEMORY && !has_begun_to_answer()) ||
                          code == CURLE_FAILED_INIT || proxy == ProxyStage::Unresolved ||
                          proxy == ProxyStage::Unreachable || proxy == ProxyStage::Unknown;
        result.end = ours ? WireEnd::OurFault : WireEnd::Failed;
        result.error = proxy == ProxyStage::None || our_errno_ != 0
                           ? failure_text(code, result.elapsed)
                           : proxy_text(proxy, code, result.elapsed);
    }
    end_lookup(code);
    shared_.connecting.forget(number_);
    // The body and the hook are shared: let go of them now, not when the handle is used again.
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
    request_ = WireRequest{};
    return result;
}

// CURLINFO_RETRY_AFTER says the same, but newer libcurls cut it at six hours.
std::optional<seconds> CurlRequest::retry_after() const {
    return asked_wait(
        [this](const char* name) {
            std::vector<std::string> lines;
            curl_header* header = nullptr;
            while (curl_easy_header(easy_, name, lines.size(), CURLH_HEADER, -1, &header) ==
                   CURLHE_OK)
                lines.emplace_back(header->value);
            return lines;
        },
        std::time(nullptr));
}

bool CurlRequest::has_begun_to_answer() const {
    curl_off_t first_byte_us = 0;
    curl_easy_getinfo(easy_, CURLINFO_STARTTRANSFER_TIME_T, &first_byte_us);
    return first_byte_us > 0;
}

// Beside an address that is allowed and does not answer, one that is not is no reason.
bool CurlRequest::was_refused(CURLcode code) const {
    return refused_address_[0] != '\0' &&
           (code == CURLE_ABORTED_BY_CALLBACK || (code == CURLE_COULDNT_CONNECT && !tried_));
}

void CurlRequest::set_resolved() noexcept {
    if (resolved_)
        return;
    resolved_ = true;
    try {
        shared_.lookups.found(looked_up_name());
    } catch (...) {
        // It has places of its own another time.
    }
}

// At the end of the request.
void CurlRequest::end_lookup(CURLcode code) {
    if (resolved_)
        return;
    resolved_ = true;
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
        shared_.lookups.not_found(looked_up_name());
    else
        shared_.lookups.given_up(looked_up_name(), shared_.clock->steady());
}

// Behind a proxy the target's name is the proxy's to look up.
const std::string& CurlRequest::looked_up_name() const {
    return applied_settings_->proxy.empty() ? request_.target->host : applied_settings_->proxy;
}

bool CurlRequest::allows(const Address& address, std::uint16_t port) noexcept {
    return !shared_.settings->proxy.empty() || shared_.settings->guard.allows(address, port);
}

std::size_t CurlRequest::on_header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& request = *static_cast<CurlRequest*>(self);
    const std::size_t bytes = size * count;
    if (!request.capture_.add_header_line(bytes)) {
        request.cut_ = true;
        return bytes + 1;
    }
    const std::string_view line(data, bytes);
    if (line == "\r\n" || line == "\n") {
        long status = 0;
        curl_easy_getinfo(request.easy_, CURLINFO_RESPONSE_CODE, &status);
        request.headers_complete_ = status >= 200;
    }
    return bytes;
}

std::size_t CurlRequest::on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& request = *static_cast<CurlRequest*>(self);
    const std::size_t bytes = size * count;
    // What has been read of it will do.
    return request.capture_.add_body({data, bytes}) ? bytes : bytes + 1;
}

// Runs before every request, on new, reused and multiplexed connections alike: the guard's
// decision.
int CurlRequest::on_request(void* self, char* remote_ip, char*, int remote_port, int) {
    auto& request = *static_cast<CurlRequest*>(self);
    ++request.requests_sent_;
    request.set_resolved();
    request.shared_.connecting.forget(request.number_);
    try {
        const auto address = Address::parse(remote_ip);
        if (address && request.allows(*address, static_cast<std::uint16_t>(remote_port)))
            return CURL_PREREQFUNC_OK;
    } catch (...) {
        // No memory to look at the address: refuse.
    }
    std::snprintf(request.refused_address_.data(), request.refused_address_.size(), "%s",
                  remote_ip);
    return CURL_PREREQFUNC_ABORT;
}

// Runs once per connection attempt: the early check, before a packet leaves.
curl_socket_t CurlRequest::on_open(void* self, curlsocktype, curl_sockaddr* target) {
    auto& request = *static_cast<CurlRequest*>(self);
    request.set_resolved();
    request.opened_ = true;
    std::uint16_t port = 0;
    const auto address = Address::from(&target->addr, &port);
    if (!address || !request.allows(*address, port)) {
        if (address)
            address->print(request.refused_address_.data(), request.refused_address_.size());
        return CURL_SOCKET_BAD;
    }
    request.tried_ = true;
    const int fd = socket(target->family, target->socktype | SOCK_CLOEXEC, target->protocol);
    if (fd < 0) {
        // No IPv6 on this machine is a fact about the address, not a lack of something.
        if (errno != EAFNOSUPPORT)
            request.our_errno_ = errno;
        return CURL_SOCKET_BAD;
    }
    try {
        request.shared_.sockets->opened(fd);
        request.shared_.connecting.opened(fd, request.number_, &request);
    } catch (...) {
        request.our_errno_ = ENOMEM;
        close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

int CurlRequest::on_close(void* shared, curl_socket_t socket) {
    auto& all = *static_cast<CurlShared*>(shared);
    all.sockets->closed(socket);
    all.connecting.closed(socket);
    return close(socket);
}

}  // namespace whisperer::engine
