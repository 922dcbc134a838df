// Options of a request that stay from one to the next of the same hook.
#include <openssl/crypto.h>

#include <utility>

#include "worker/wire/curl_request.h"
#include "worker/wire/http_versions.h"

namespace whisperer::engine {
namespace {

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

void CurlRequest::apply_options() {
    const Settings& settings = *shared_.settings;
    // What a new one would be, which is a ninth of what a handle for each request costs.
    if (std::exchange(is_used_, true))
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
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(settings.connect_timeout / milliseconds(1)));
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &CurlRequest::on_header);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
    // Shows header lines to on_body before they are stored.
    curl_easy_setopt(easy_, CURLOPT_HEADER, may_read_freed_line() ? 1L : 0L);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &CurlRequest::on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &CurlRequest::on_request);
    curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
    curl_easy_setopt(easy_, CURLOPT_RESOLVER_START_FUNCTION, &CurlRequest::on_look_up);
    curl_easy_setopt(easy_, CURLOPT_RESOLVER_START_DATA, this);
    curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &CurlRequest::on_open);
    curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, this);
    // A connection outlives the request that opened it, so closing knows only the transport.
    curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETFUNCTION, &CurlRequest::on_close);
    curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETDATA, &shared_);
    apply_network_options();
    applied_target_ = request_.target;
    applied_settings_ = shared_.settings;
    applied_identity_ = request_.identity;
    applied_owner_ = request_.owner;
    applied_untidy_ = false;
}

void CurlRequest::apply_network_options() {
    const Settings& settings = *shared_.settings;
    curl_easy_setopt(easy_, CURLOPT_TCP_NODELAY, 1L);
    // An empty string, unlike NULL, also turns the environment's proxies off.
    curl_easy_setopt(easy_, CURLOPT_PROXY, settings.proxy.c_str());
    curl_easy_setopt(easy_, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    const bool https = request_.target->https;
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION,
                     static_cast<long>(https && speaks_http2() ? CURL_HTTP_VERSION_2TLS
                                                               : CURL_HTTP_VERSION_1_1));
    if (!https)
        return;
    // Wait for a connection that can carry many rather than open many.
    curl_easy_setopt(easy_, CURLOPT_PIPEWAIT, speaks_http2() ? 1L : 0L);
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

}  // namespace whisperer::engine
