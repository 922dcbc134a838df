// What went wrong on the wire, in words for people.  Nothing of the request's headers or body is
// ever in them: error texts are stored and shown.
#include <cctype>
#include <cstring>
#include <system_error>

#include "worker/base/clean_text.h"
#include "worker/wire/curl_request.h"
#include "worker/wire/failure_words.h"

namespace whisperer::engine {
namespace {

// CURLE_TOO_LARGE, which libcurl has since 8.6.
constexpr auto too_large = static_cast<CURLcode>(100);

std::string lower_first(std::string text) {
    // "SSL certificate" keeps its capitals, "Connection refused" does not.
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

// In libcurl's words, which change.
bool mentions_nul(std::string text) {
    for (char& c : text)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* word : {"nul byte", "null byte", "zero byte", "binary zero"})
        if (text.find(word) != std::string::npos)
            return true;
    return false;
}

// "OpenSSL/3.0.19: error:0A00042E:SSL routines::tlsv1 alert protocol version": the end of it is for
// people.
std::string without_codes(const std::string& text) {
    if (text.find("SSL_ERROR_SYSCALL") != std::string::npos ||
        text.find("unexpected eof") != std::string::npos)
        return "connection closed during the handshake";
    const std::size_t end = text.rfind("::");
    return end == std::string::npos || text.find("error:") > end ? text : text.substr(end + 2);
}

}  // namespace

std::string with_errno(std::string what, long error) {
    if (error != 0)
        what += ": " + lower_first(std::generic_category().message(static_cast<int>(error)));
    return what;
}

std::string duration_text(microseconds duration) {
    const auto ms = std::chrono::ceil<milliseconds>(duration).count();
    return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::string CurlRequest::timeout_text(microseconds elapsed) const {
    const microseconds limit = timeout();
    const microseconds connect_limit = applied_settings_->connect_timeout;
    if (requests_sent_ > 0)
        return "no response within " + duration_text(limit);
    const std::string within =
        " within " + duration_text(elapsed >= limit ? limit : std::min(limit, connect_limit));
    if (!resolved_)
        return "could not resolve host " + request_.target->host + within;
    return "could not connect" + within;
}

std::string CurlRequest::tls_text(CURLcode code) const {
    const char* reason = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code);
    return "TLS failure: " + to_clean_line(without_codes(reason), 400);
}

std::string CurlRequest::failure_text(CURLcode code, microseconds elapsed) const {
    if (was_refused(code))
        return refused_text(refused_address_.data(), request_.target->port);
    if (our_errno_ != 0)
        return with_errno("could not make a socket", our_errno_);
    if (cut_ && capture_.headers_too_many())
        return "response has more than 1000 header lines";
    // One line that is too long for libcurl is a lack of memory to it, or so says its code.
    if ((cut_ && capture_.headers_too_long()) || code == too_large ||
        (code == CURLE_OUT_OF_MEMORY && has_begun_to_answer()))
        return "response headers are longer than 65536 bytes";
    if (bad_status_line_)
        return "response has a malformed status line";
    if (bad_header_line_)
        return "response has a malformed header line";
    if (code == CURLE_WEIRD_SERVER_REPLY && mentions_nul(error_.data()))
        return "response header contains a NUL byte";
    // How a server says that it does not accept our certificate: TLS 1.3 does so after the
    // handshake.
    if (std::strstr(error_.data(), "SSL routines") != nullptr)
        return tls_text(code);
    // It was to go out a third time.
    if (is_unfit_ && code == CURLE_ABORTED_BY_CALLBACK)
        return "connection lost";
    long error = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &error);
    switch (code) {
        case CURLE_OK:  // it takes what it has for the answer
            return "connection closed within the response's headers";
        case CURLE_OPERATION_TIMEDOUT:
            return timeout_text(elapsed);
        case CURLE_COULDNT_RESOLVE_HOST:
            return "could not resolve host " + request_.target->host;
        case CURLE_COULDNT_CONNECT:
            return with_errno("could not connect", error);
        case CURLE_GOT_NOTHING:
            return "connection closed without a response";
        case CURLE_RECV_ERROR:
            return with_errno("connection lost", error);
        case CURLE_SEND_ERROR:
            return with_errno("could not send", error);
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS:
            return tls_text(code);
        default:
            break;
    }
    const char* reason = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code);
    return to_clean_line(lower_first(reason), 400);
}

}  // namespace whisperer::engine
