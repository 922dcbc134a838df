// What a proxy did, told apart from what the receiver behind it did.
//
// A proxy that cannot be reached, or that does not know us, is a fault of ours: no endpoint has
// failed.  What it says of one target (403, 502, ...) is that target's.  Silence may be either's:
// the dispatcher tells by what is heard of others.  What the answer to a request in the clear says,
// but 407, may be the receiver's word as well as the proxy's.
#include "worker/base/clean_text.h"
#include "worker/wire/curl_request.h"
#include "worker/wire/failure_words.h"

namespace whisperer::engine {
namespace {

constexpr long proxy_authentication_required = 407;

bool is_tls_code(CURLcode code) {
    return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
           code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR;
}

}  // namespace

// Of the running request: what the proxy answered to CONNECT; 0: nothing.
long CurlRequest::tunnel_status() const {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &status);
    return status;
}

// How far it came with the proxy, when no answer of the receiver came through it.
ProxyStage CurlRequest::proxy_stage(CURLcode code, long answered_status) const {
    if (applied_settings_->proxy.empty())
        return ProxyStage::None;
    if (tunnel_status() == proxy_authentication_required ||
        (answered_status == proxy_authentication_required && !request_.target->https))
        return ProxyStage::Unknown;
    if (answered_status != 0 || requests_sent_ > 0)
        return ProxyStage::None;
    if (tunnel_status() >= 300)
        return ProxyStage::Refused;
    if (code == CURLE_COULDNT_RESOLVE_PROXY || (code == CURLE_OPERATION_TIMEDOUT && !resolved_))
        return ProxyStage::Unresolved;
    if (!opened_ || tunnel_status() != 0)
        return ProxyStage::None;
    // CONNECT_TIME is that of the tunnel, here and there, and libcurl 8.14 has no port of ours
    // before there is a tunnel.
    long local_port = 0;
    curl_easy_getinfo(easy_, CURLINFO_LOCAL_PORT, &local_port);
    const bool is_connected = local_port > 0 || had_peer_;
    if (is_tls_code(code) ||
        (!is_connected && (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT)))
        return ProxyStage::Unreachable;
    return is_connected ? ProxyStage::Silent : ProxyStage::None;
}

WireProxy CurlRequest::heard_of_proxy(ProxyStage stage) const {
    if (stage == ProxyStage::Silent)
        return WireProxy::Silent;
    const bool has_answered =
        !applied_settings_->proxy.empty() && (tunnel_status() != 0 || status_line_came_);
    return has_answered ? WireProxy::Answered : WireProxy::None;
}

std::string CurlRequest::proxy_text(ProxyStage stage, CURLcode code, microseconds elapsed) const {
    const std::string within =
        " within " + duration_text(elapsed >= timeout()
                                       ? timeout()
                                       : std::min(timeout(), applied_settings_->connect_timeout));
    const bool timed_out = code == CURLE_OPERATION_TIMEDOUT;
    long error = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &error);
    switch (stage) {
        case ProxyStage::None:
            break;
        case ProxyStage::Unresolved:
            return "could not resolve the proxy's host" + (timed_out ? within : std::string());
        case ProxyStage::Unreachable:
            if (is_tls_code(code))
                return "proxy: " + tls_text(code);
            if (timed_out)
                return "could not connect to the proxy" + within;
            return with_errno("could not connect to the proxy", error);
        case ProxyStage::Unknown:
            return "the proxy refused our credentials: HTTP status 407";
        case ProxyStage::Refused:
            return "the proxy refused the connection: HTTP status " +
                   std::to_string(tunnel_status());
        case ProxyStage::Silent:
            if (timed_out)
                return "the proxy did not answer" + within;
            return code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_PROXY ||
                           code == CURLE_COULDNT_CONNECT
                       ? "the proxy closed the connection"
                       : "the proxy did not answer as one";
    }
    return {};
}

}  // namespace whisperer::engine
