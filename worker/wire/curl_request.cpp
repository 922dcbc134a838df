// One request from its begin to its end; see curl_options.cpp and curl_callbacks.cpp.
#include "worker/wire/curl_request.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <new>

#include "worker/base/clean_text.h"
#include "worker/wire/retry_after.h"

namespace whisperer::engine {

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
    if (is_localhost(target.host))
        return "host " + target.host + " is not allowed";
    for (const std::string& address : fixed_addresses(target.host))
        if (!settings.guard.allows(*Address::parse(address), target.port))
            return refused_text(address, target.port);
    return {};
}

void CurlRequest::begin(WireRequest request) {
    request_ = std::move(request);
    began_again_ = false;
    was_sent_ = false;
    spent_ = microseconds(0);
    prepare();
}

void CurlRequest::prepare() {
    is_begun_ = false;
    const bool same_origin = applied_target_ == request_.target && applied_owner_ == request_.owner;
    if (!same_origin)
        origin_ =
            shared_.pools.origin(request_.owner, request_.target->url, request_.target->https);
    if (!same_origin || applied_settings_ != shared_.settings ||
        applied_identity_ != request_.identity)
        apply_options();
    apply_pool();
    apply_headers();
    const std::string& body = *request_.body;
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout() / milliseconds(1)));
    capture_.restart(
        std::max({shared_.settings->failure_response_bytes_max,
                  shared_.settings->success_response_bytes_max, request_.response_bytes_max}));
    error_[0] = '\0';
    status_line_came_ = false;
    bad_status_line_ = false;
    header_line_came_ = false;
    bad_header_line_ = false;
    headers_complete_ = false;
    in_header_ = true;
    cut_ = false;
    requests_sent_ = 0;
    is_reused_ = false;
    is_unfit_ = false;
    is_multiplexed_ = false;
    connection_ = 0;
    our_errno_ = 0;
    refused_address_[0] = '\0';
    number_ = shared_.connecting.new_number();
    opened_ = false;
    had_peer_ = false;
    tried_ = false;
    looks_up_ = false;
    resolved_ = request_.target->host_is_address && shared_.settings->proxy.empty();
    if (!resolved_)
        shared_.lookups.started(looked_up_name());
    is_begun_ = true;
}

void CurlRequest::apply_pool() {
    const microseconds now = shared_.clock.steady();
    const bool untidy = origin_->is_untidy(now) || shared_.pools.is_crowded();
    if (untidy != applied_untidy_)
        curl_easy_setopt(easy_, CURLOPT_FORBID_REUSE, untidy ? 1L : 0L);
    applied_untidy_ = untidy;
    pool_ = origin_->enter(now);
    // Begun anew it has a new pool, in which others may have opened a connection that can carry
    // many by now.
    opened_before_ = began_again_ ? 0 : pool_->opened_total();
    if (began_again_ && !is_multiplexed_)
        curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy_, CURLOPT_SHARE, pool_->share());
}

void CurlRequest::leave_pool(Heard heard) {
    curl_easy_setopt(easy_, CURLOPT_SHARE, static_cast<CURLSH*>(nullptr));
    origin_->leave(std::move(pool_), heard, shared_.clock.steady());
}

// libcurl reads the list while the request runs and never writes to it, so the nodes can be ours
// and the text stays where it is.
void CurlRequest::apply_headers() {
    header_list_.clear();
    const auto add = [this](const HeaderLines& lines) {
        for (const std::string& line : lines)
            header_list_.push_back({const_cast<char*>(line.c_str()), nullptr});
    };
    add(request_.attempt_headers);
    if (request_.event_headers != nullptr)
        add(*request_.event_headers);
    add(*request_.hook_headers);
    for (std::size_t i = 1; i < header_list_.size(); ++i)
        header_list_[i - 1].next = &header_list_[i];
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, header_list_.data());
}

microseconds CurlRequest::timeout() const {
    return request_.timeout.count() > 0 ? request_.timeout : applied_settings_->request_timeout;
}

microseconds CurlRequest::elapsed() const {
    curl_off_t elapsed_us = 0;
    curl_easy_getinfo(easy_, CURLINFO_TOTAL_TIME_T, &elapsed_us);
    return microseconds(elapsed_us);
}

// Whether a connection that was used before ended like one that its receiver has left.
bool CurlRequest::was_left(CURLcode code) const {
    switch (code) {
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_HTTP2:
        case CURLE_UNSUPPORTED_PROTOCOL:  // what comes is no answer, so it is none to this request
        case CURLE_WEIRD_SERVER_REPLY:
            return is_reused_ && requests_sent_ == 1;
        default:
            return false;
    }
}

bool CurlRequest::begins_again(CURLcode code) {
    // What was asked before the first go would have to be asked anew.
    if (applied_settings_ != shared_.settings)
        return false;
    const microseconds spent = elapsed();
    const auto left = std::chrono::floor<milliseconds>(timeout() - spent);
    if (began_again_ || requests_sent_ > 1 || status_line_came_ || left <= milliseconds(0) ||
        !(is_unfit_ ? code == CURLE_ABORTED_BY_CALLBACK : was_left(code)))
        return false;
    long connections = 0;
    curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connections);
    shared_.connections += connections;
    set_resolved();
    shared_.connecting.forget(number_);
    began_again_ = true;
    was_sent_ = requests_sent_ > 0;
    spent_ = spent;
    // Whatever else its pool has is as old.
    origin_->retire(pool_);
    if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
        origin_->note_untidy(shared_.clock.steady());
    leave_pool(Heard::NotSent);
    applied_target_.reset();
    prepare();
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
    return true;
}

void CurlRequest::note_version() noexcept {
    Connection* connection = pool_->find_number(connection_);
    if (connection == nullptr)
        return;
    long version = 0;
    curl_easy_getinfo(easy_, CURLINFO_HTTP_VERSION, &version);
    connection->http_major = version >= CURL_HTTP_VERSION_2_0 ? 2 : 1;
}

void CurlRequest::note_end(CURLcode code) noexcept {
    Connection* connection = pool_->find_number(connection_);
    if (connection != nullptr)
        connection->is_idle = code == CURLE_OK && headers_complete_ && connection->http_major == 1;
}

Heard CurlRequest::heard(CURLcode code) const {
    if (headers_complete_)
        return Heard::Answer;
    if (requests_sent_ == 0)
        return Heard::NotSent;
    const bool silence = code == CURLE_OPERATION_TIMEDOUT && capture_.is_empty();
    return silence ? Heard::Silence : Heard::Nothing;
}

WireResult CurlRequest::end(CURLcode code) {
    WireResult result;
    result.cookie = request_.cookie;
    result.elapsed = spent_ + elapsed();
    result.sent_again = (was_sent_ ? 1 : 0) + requests_sent_ > 1;
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    long connections = 0;
    curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connections);
    shared_.connections += connections;

    result.resolved = resolved_;
    const bool not_found = !resolved_ && (code == CURLE_COULDNT_RESOLVE_HOST ||
                                          (code == CURLE_OPERATION_TIMEDOUT && looks_up_));
    result.looked_up = !request_.target->host_is_address && applied_settings_->proxy.empty() &&
                       (opened_ || not_found);
    result.connected = requests_sent_ > 0 || was_sent_;
    result.refused = was_refused(code);
    const bool answered = headers_complete_ && status >= 200;
    const ProxyStage proxy = proxy_stage(code, answered ? status : 0);
    result.proxy = heard_of_proxy(proxy);
    if (answered && proxy == ProxyStage::None) {
        result.end = WireEnd::Answered;
        result.http_status = static_cast<int>(status);
        const bool success = status / 100 == 2;
        const std::size_t bytes_max = success ? shared_.settings->success_response_bytes_max
                                              : shared_.settings->failure_response_bytes_max;
        result.response = capture_.text(
            request_.response_bytes_max != 0 ? request_.response_bytes_max : bytes_max);
        curl_off_t announced = 0;
        curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
        result.is_cut =
            !capture_.has_all() || (code != CURLE_OK && (capture_.has_body() || announced > 0));
        if (status == 429 || status == 503)
            result.retry_after = retry_after();
        char* location = nullptr;
        curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &location);
        if (location != nullptr)
            result.location = to_clean_line(location, 256);
    } else {
        // What went out once is an attempt, whatever kept it from going out again.
        const bool ours =
            !was_sent_ && ((our_errno_ != 0 && !result.refused) ||
                           (code == CURLE_OUT_OF_MEMORY && !has_begun_to_answer()) ||
                           code == CURLE_FAILED_INIT || proxy == ProxyStage::Unresolved ||
                           proxy == ProxyStage::Unreachable || proxy == ProxyStage::Unknown);
        result.end = ours ? WireEnd::OurFault : WireEnd::Failed;
        result.error = proxy == ProxyStage::None || our_errno_ != 0
                           ? failure_text(code, result.elapsed)
                           : proxy_text(proxy, code, result.elapsed);
    }
    end_lookup(code);
    shared_.connecting.forget(number_);
    note_end(code);
    leave_pool(heard(code));
    // libcurl counts what it sends again over a handle's life, and stops doing so.
    if (requests_sent_ > 1 || began_again_)
        applied_target_.reset();
    // The body and the hook are shared: let go of them now, not when the handle is used again.
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
    request_ = WireRequest{};
    is_begun_ = false;
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

// At the end of the request.  One that has waited for a connection that another opened has left no
// look-up behind.
void CurlRequest::end_lookup(CURLcode code) {
    if (resolved_)
        return;
    resolved_ = true;
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
        shared_.lookups.not_found(looked_up_name());
    else if (looks_up_)
        shared_.lookups.given_up(looked_up_name(), shared_.clock.steady());
    else
        shared_.lookups.not_asked(looked_up_name());
}

// Behind a proxy the target's name is the proxy's to look up.
const std::string& CurlRequest::looked_up_name() const {
    return applied_settings_->proxy.empty() ? request_.target->host : applied_settings_->proxy;
}

bool CurlRequest::allows(const Address& address, std::uint16_t port) noexcept {
    return !applied_settings_->proxy.empty() || shared_.settings->guard.allows(address, port);
}

}  // namespace whisperer::engine
