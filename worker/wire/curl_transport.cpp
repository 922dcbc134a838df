// Drives the multi handle: sockets, its one timer, and finished requests.
#include "worker/wire/curl_transport.h"

#include <signal.h>

#include <algorithm>
#include <stdexcept>

namespace whisperer::engine {
namespace {

class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_;
};

// Handles that wait for their lane's next request cost some 20 kB each.
constexpr int idle_handles_max = 1024;

}  // namespace

// The handles of one lane.  A running one is in running_, an idle one in idle_; nowhere else.
class CurlLane final : public WireLane {
  public:
    explicit CurlLane(CurlTransport& transport) : transport_(transport) {}

    ~CurlLane() override {
        for (auto& request : running_) {
            curl_multi_remove_handle(transport_.multi_, request->easy());
            // One for which there was no memory has nothing to give back.
            if (request->is_begun())
                request->end(CURLE_ABORTED_BY_CALLBACK);
        }
        transport_.idle_handles_ -= static_cast<int>(idle_.size());
    }

    CurlRequest& take_idle() {
        // Room for all of them on either side, so that give_back cannot fail.
        const std::size_t handles = running_.size() + idle_.size() + 1;
        if (running_.capacity() < handles || idle_.capacity() < handles) {
            running_.reserve(2 * handles);
            idle_.reserve(2 * handles);
        }
        if (idle_.empty()) {
            running_.push_back(std::make_unique<CurlRequest>(transport_.shared_));
        } else {
            running_.push_back(std::move(idle_.back()));
            idle_.pop_back();
            --transport_.idle_handles_;
        }
        running_.back()->place = running_.size() - 1;
        running_.back()->lane = this;
        return *running_.back();
    }

    void give_back(CurlRequest& request) {
        const std::size_t place = request.place;
        std::unique_ptr<CurlRequest> owner = std::move(running_[place]);
        if (place + 1 != running_.size()) {
            running_[place] = std::move(running_.back());
            running_[place]->place = place;
        }
        running_.pop_back();
        if (transport_.idle_handles_ >= idle_handles_max && !idle_.empty())
            return;
        idle_.push_back(std::move(owner));
        ++transport_.idle_handles_;
    }

    CurlRequest* find(const void* cookie) {
        for (auto& request : running_)
            if (request->cookie() == cookie)
                return request.get();
        return nullptr;
    }

  private:
    CurlTransport& transport_;
    std::vector<std::unique_ptr<CurlRequest>> running_;
    std::vector<std::unique_ptr<CurlRequest>> idle_;
};

CurlTransport::CurlTransport(const Clock& clock, int descriptors_max)
    : clock_(clock), shared_(clock, sockets_, descriptors_max), multi_(curl_multi_init()) {
    if (multi_ == nullptr)
        throw std::bad_alloc();
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlTransport::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlTransport::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(descriptors_max));
    set_resolver_options();
}

// From libcurl 8.20 on names are looked up by a pool of threads, which is emptied before the handle
// is gone: a stop of the server took as long as the slowest name server.  Headers may be older than
// the library, so the options go by their numbers; an older library does not know them, and has a
// thread for each look-up that it leaves alone.
void CurlTransport::set_resolver_options() {
    constexpr auto resolve_threads_max = static_cast<CURLMoption>(20);
    constexpr auto quick_exit = static_cast<CURLMoption>(21);
    if (curl_version_info(CURLVERSION_NOW)->version_num < 0x081400)
        return;
    curl_multi_setopt(multi_, resolve_threads_max, resolver_threads_max);
    curl_multi_setopt(multi_, quick_exit, 1L);
}

bool CurlTransport::may_look_up(const std::string& host) const {
    const std::string& proxy = shared_.settings->proxy;
    return shared_.lookups.may_start(proxy.empty() ? host : proxy, clock_.steady());
}

CurlTransport::~CurlTransport() {
    const SignalsBlocked blocked;
    curl_multi_cleanup(multi_);
}

void CurlTransport::configure(std::shared_ptr<const Settings> settings) {
    shared_.settings = std::move(settings);
    shared_.pools.is_proxy_encrypted = shared_.settings->proxy.starts_with("https://");
    // A kept connection may go where it is no longer allowed to, while its name has other
    // addresses.
    shared_.pools.retire_all();
}

std::unique_ptr<WireLane> CurlTransport::open_lane() {
    return std::make_unique<CurlLane>(*this);
}

void CurlTransport::start(WireLane& lane, WireRequest request) {
    auto& curl_lane = static_cast<CurlLane&>(lane);
    CurlRequest& handle = curl_lane.take_idle();
    WireResult failure;
    failure.cookie = request.cookie;
    failure.error = handle.refusal(request);
    if (!failure.error.empty()) {
        failure.refused = true;
        results_.push_back(std::move(failure));
        curl_lane.give_back(handle);
        return;
    }
    handle.begin(std::move(request));
    has_started_ = true;
    if (curl_multi_add_handle(multi_, handle.easy()) != CURLM_OK) {
        results_.push_back(handle.end(CURLE_FAILED_INIT));
        curl_lane.give_back(handle);
    }
}

void CurlTransport::cancel(WireLane& lane, const void* cookie) {
    auto& curl_lane = static_cast<CurlLane&>(lane);
    CurlRequest* request = curl_lane.find(cookie);
    if (request == nullptr)
        return;
    curl_multi_remove_handle(multi_, request->easy());
    request->end(CURLE_OPERATION_TIMEDOUT);
    curl_lane.give_back(*request);
}

void CurlTransport::step() {
    const SignalsBlocked blocked;
    sockets_.poll(
        [this](EpollSet::Event event) {
            const int ready = ((event.events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                              ((event.events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                              ((event.events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
            int running = 0;
            if (curl_multi_socket_action(multi_, event.socket, ready, &running) != CURLM_OK)
                out_of_memory_ = true;
        },
        [this](int socket) { shared_.pools.stirred(socket); });
    const microseconds now = clock_.steady();
    if (timer_ <= now)
        run_timer();
    read_messages();
    push_connecting();
    shared_.pools.close_unused(now);
}

void CurlTransport::push_started() {
    if (timer_ != microseconds::min())
        return;
    const SignalsBlocked blocked;
    run_timer();
    read_messages();
    push_connecting();
}

void CurlTransport::run_timer() {
    if (has_started_)
        look_at_idle_connections();
    has_started_ = false;
    timer_ = microseconds::max();  // libcurl sets it again if it needs one
    int running = 0;
    if (curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running) != CURLM_OK)
        out_of_memory_ = true;
    shared_.pools.looked_at.reset();
}

// Requests are about to go out, and some of them on connections that were used before: what has
// come there since the last look is no answer to them.
void CurlTransport::look_at_idle_connections() {
    const microseconds now = clock_.steady();
    if (sockets_.poll_unwanted([this](int socket) { shared_.pools.stirred(socket); }))
        shared_.pools.looked_at = now;
}

// See connecting.h.  To pause a transfer and let it go on is the way to have libcurl look at it;
// one that is not connected has nothing to pause.
void CurlTransport::push_connecting() {
    // As often as an address fails at once.
    for (bool pushed = true; pushed;) {
        pushed = false;
        shared_.connecting.push_left([&](CurlRequest& request) {
            curl_easy_pause(request.easy(), CURLPAUSE_RECV);
            curl_easy_pause(request.easy(), CURLPAUSE_CONT);
            pushed = true;
        });
        if (pushed) {
            run_timer();
            read_messages();
        }
    }
}

void CurlTransport::read_messages() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL* easy = message->easy_handle;
        const CURLcode code = message->data.result;  // gone with remove_handle
        char* self = nullptr;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &self);
        auto& request = *reinterpret_cast<CurlRequest*>(self);
        curl_multi_remove_handle(multi_, easy);
        if (request.begins_again(code)) {
            has_started_ = true;
            if (curl_multi_add_handle(multi_, request.easy()) == CURLM_OK)
                continue;
        }
        results_.push_back(request.end(code));
        request.lane->give_back(request);
    }
    if (out_of_memory_) {
        out_of_memory_ = false;
        throw std::runtime_error("libcurl's multi handle failed");
    }
}

void CurlTransport::take_results(std::vector<WireResult>& results) {
    if (results.empty()) {
        results.swap(results_);
        return;
    }
    std::move(results_.begin(), results_.end(), std::back_inserter(results));
    results_.clear();
}

int CurlTransport::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
    auto& transport = *static_cast<CurlTransport*>(self);
    const std::uint32_t events = what == CURL_POLL_IN      ? EPOLLIN
                                 : what == CURL_POLL_OUT   ? EPOLLOUT
                                 : what == CURL_POLL_INOUT ? EPOLLIN | EPOLLOUT
                                                           : 0;
    try {
        transport.sockets_.want(socket, events);
    } catch (...) {
        transport.out_of_memory_ = true;
    }
    return 0;
}

int CurlTransport::on_timer(CURLM*, long timeout_ms, void* self) {
    auto& transport = *static_cast<CurlTransport*>(self);
    if (timeout_ms < 0)
        transport.timer_ = microseconds::max();
    else if (timeout_ms == 0)
        transport.timer_ = microseconds::min();  // at once
    else
        transport.timer_ = transport.clock_.steady() + milliseconds(timeout_ms);
    return 0;
}

}  // namespace whisperer::engine
