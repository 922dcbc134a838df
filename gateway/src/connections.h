// All connections, in one thread that waits for whichever has something to do (epoll).
//
// It gathers whole requests, answers at once what needs no database, gives the rest to the workers,
// and writes what they answer, so that a slow client costs a descriptor and a buffer, never a
// worker or a connection to the database.  A request that waits for something is a timer here.
// Everything has an end: a request 10 s from its first byte, an answer 60 s, an idle connection 15
// s.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "connection.h"
#include "descriptor.h"
#include "problem.h"
#include "sending.h"
#include "workers.h"

namespace whisperer::gateway {

class Connections {
  public:
    struct Limits {
        std::size_t threads;             // of the workers
        std::size_t connections;         // in all
        std::size_t per_client;          // of one address (a /64 of IPv6)
        std::size_t body_bytes;          // of all requests that are being gathered
        const Networks& not_per_client;  // proxies: each stands for many clients
    };
    struct Begun {
        std::shared_ptr<Errand> errand;
        std::optional<Reply> reply;
    };
    // In the thread of run.
    struct Callbacks {
        // A request begins: what needs no database has its reply at once.  is_last: the connection
        // ends with it.  Must not throw, as the next.
        std::function<Begun(Head, const Address& peer, bool is_last)> begin;
        // What is not a request, or too much.
        std::function<Reply(const Problem&, const Address& peer)> refuse;
    };

    // listener: a listening socket that does not block.
    Connections(Descriptor listener, Limits limits, Callbacks callbacks);
    ~Connections();

    // Serves until stop.  Then nobody new is let in, what is being answered is finished, and it
    // returns: true if all was, false if something was not within 10 s.
    bool run();
    // From any thread.
    void stop();
    std::size_t count() const { return count_.load(); }

  private:
    using Number = std::uint64_t;  // of a connection; never used again

    bool is_finished() const;
    int pause_ms() const;
    void accept_some();
    void admit(int socket, const Address& peer);
    bool make_room();
    void serve(Number number);
    void serve_reading(Number number, Connection& connection);
    bool take_request(Number number, Connection& connection);
    bool write_out(Number number, Connection& connection);
    void refuse(Number number, Connection& connection, const Problem& problem);

    void submit(Number number, Connection& connection, bool is_first);
    void take_steps();
    void submit_due();
    void refuse_late();
    void deliver(Number number, Reply reply);

    void start_stopping();
    void end_late();
    void wait_for(Number number, Connection& connection, bool to_write);
    void release(Connection& connection);
    void end(Number number);

    Descriptor listener_;
    const Limits limits_;
    const Callbacks callbacks_;
    Descriptor epoll_;
    Descriptor wake_;  // an eventfd: steps_ or is_stopping_ changed
    std::atomic<bool> is_stopping_ = false;
    std::atomic<std::size_t> count_ = 0;
    bool has_stopped_accepting_ = false;
    bool is_accepting_ = true;  // false for a moment when there are no descriptors
    Clock::time_point looked_at_;
    Clock::time_point stop_deadline_;
    Number last_number_;
    std::map<Number, std::unique_ptr<Connection>> connections_;
    std::map<std::string, std::size_t> by_client_;
    std::size_t body_bytes_ = 0;

    Sending sending_;
    std::multimap<Clock::time_point, Number> timers_;  // of errands that wait

    std::mutex mutex_;
    std::vector<std::pair<Number, Errand::Step>> steps_;  // guarded by mutex_; workers append
    Workers workers_;                                     // ends before all else
};

}  // namespace whisperer::gateway
