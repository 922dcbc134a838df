// One client's connection: its socket, what has come and what has still to go.  Used by the thread
// of Connections alone; while a worker has its request (Working) nothing of it is touched but its
// number.
#pragma once
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "addresses.h"
#include "errand.h"
#include "head.h"

namespace whisperer::gateway {

class Connection {
  public:
    enum class State {
        Reading,   // idle, or a request is coming in; may become Working, Writing, or end
        Working,   // a worker has the request, or it waits; becomes Writing
        Writing,   // an answer goes out; becomes Reading, Working for more of it, Draining, or ends
        Draining,  // all is said; what the client still sends is thrown away; ends
    };
    enum class Progress { Blocked, Done, Ended };

    Connection(int socket, const Address& peer);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    int socket() const { return socket_; }
    const Address& peer() const { return peer_; }
    State state() const { return state_; }
    Clock::time_point deadline() const { return deadline_; }
    bool is_idle() const { return state_ == State::Reading && in_.empty() && !head_; }
    // Of a body that is being gathered or was handed out; counted against the bound of all.
    std::size_t body_bytes() const { return body_bytes_; }
    std::size_t requests() const { return requests_; }

    // Done: something came; Ended: the client went.
    Progress receive();
    // The next request, once it is whole; throws Problem.  announce is called when its body is
    // known to come, with its length, and may throw Problem.
    template <typename Announce>
    std::optional<Head> take_request(Announce announce);

    // The request is the errand's business now.
    void start_work(std::shared_ptr<Errand> errand);
    void resume_work() { state_ = State::Working; }
    const std::shared_ptr<Errand>& errand() const { return errand_; }
    // held_bytes: what the reply is counted as, until there is another one or the end.
    void start_reply(Reply reply);
    std::size_t held_bytes = 0;
    // Done: all of the reply has gone.
    Progress send();
    bool closes() const { return reply_.closes; }
    bool has_more() const { return reply_.has_more; }
    void start_reading();
    void start_draining();
    Progress drain();

  private:
    void acknowledge();
    void announce_continue();
    void set_deadline(std::chrono::seconds from_now) { deadline_ = Clock::now() + from_now; }

    int socket_;
    Address peer_;
    State state_ = State::Reading;
    Clock::time_point deadline_;
    std::string in_;
    std::optional<Head> head_;  // read already, its body not
    std::size_t body_bytes_ = 0;
    std::size_t requests_ = 0;
    std::shared_ptr<Errand> errand_;
    Reply reply_;
    std::size_t sent_ = 0;
    std::size_t drained_ = 0;
};

template <typename Announce>
std::optional<Head> Connection::take_request(Announce announce) {
    if (!head_) {
        head_ = read_head(in_);
        if (!head_)
            return std::nullopt;
        announce(head_->body_bytes);
        body_bytes_ = head_->body_bytes;
        in_.erase(0, head_->bytes);
        if (in_.size() < body_bytes_) {
            acknowledge();
            if (head_->expects_continue)
                announce_continue();
        }
    }
    if (in_.size() < body_bytes_)
        return std::nullopt;
    Head whole = std::move(*head_);
    head_.reset();
    whole.request.body = in_.substr(0, body_bytes_);
    in_.erase(0, body_bytes_);
    requests_++;
    return whole;
}

}  // namespace whisperer::gateway
