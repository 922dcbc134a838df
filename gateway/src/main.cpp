// Puts the parts together, and ends them in order.
//
// The main thread waits for a signal; one thread has all connections (connections.h), some answer
// requests (workers.h).  SIGTERM and SIGINT: nobody new is let in, what is under way is finished.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

#include "connections.h"
#include "exchange.h"
#include "gateway.h"
#include "log.h"
#include "options.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t connections_max = 1000;
constexpr std::chrono::seconds log_time{1};  // to be read, when the gateway ends
constexpr std::size_t bodies_bytes_max = 64 * body_bytes_max;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

Descriptor listen_at(const Options& options) {
    const Address address = *Address::parse(options.address);
    sockaddr_storage place{};
    socklen_t size = 0;
    if (address.is_ipv4()) {
        auto& in = reinterpret_cast<sockaddr_in&>(place);
        in.sin_family = AF_INET;
        in.sin_port = htons(options.port);
        std::memcpy(&in.sin_addr, address.bytes.data() + 12, 4);
        size = sizeof in;
    } else {
        auto& in6 = reinterpret_cast<sockaddr_in6&>(place);
        in6.sin6_family = AF_INET6;
        in6.sin6_port = htons(options.port);
        std::memcpy(&in6.sin6_addr, address.bytes.data(), 16);
        size = sizeof in6;
    }
    Descriptor listener(
        socket(place.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    const int on = 1;
    if (listener.get() < 0 ||
        setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        fail("socket");
    if (bind(listener.get(), reinterpret_cast<sockaddr*>(&place), size) != 0)
        fail("bind");
    if (listen(listener.get(), 511) != 0)
        fail("listen");
    return listener;
}

std::string url_of(const Descriptor& listener) {
    sockaddr_storage place{};
    socklen_t size = sizeof place;
    if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&place), &size) != 0)
        fail("getsockname");
    const Address address = Address::of(place);
    const auto port =
        ntohs(place.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(place).sin6_port
                                          : reinterpret_cast<sockaddr_in&>(place).sin_port);
    const std::string host = address.is_ipv4() ? address.text() : "[" + address.text() + "]";
    return "http://" + host + ":" + std::to_string(port);
}

// As many as there may be, less what the database and we need.
std::size_t connections_for(const Options& options) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("getrlimit");
    const std::size_t ours = options.pool * options.databases.size() + 32;
    const std::size_t left = limit.rlim_cur > ours ? limit.rlim_cur - ours : 16;
    return std::min(connections_max, left);
}

// Blocked in every thread, so that one thread can wait for them.
sigset_t block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return signals;
}

// Who starts it is told at once, in the log, what the first request would be told of each database.
// Those beside the first are read as requests do, so that one that is away keeps nobody waiting.
void look_at_databases(Databases& databases) {
    static const Statement look[] = {Statement("SELECT whisperer.api_token_role('')")};
    try {
        databases.pool(0).run({.is_repeatable = true, .statements = look});
    } catch (const DatabaseError& error) {
        log_event("the database is not set up for the gateway",
                  error.sqlstate + ": " + error.message);
    } catch (const Problem&) {
        // The pool has said why.
    }
    for (std::size_t number = 1; number < databases.count(); number++) {
        const auto look_beside = [&] {
            return databases.pool(number).run(
                {.is_repeatable = true, .answer_time = answer_time_beside, .statements = look});
        };
        std::string fault;
        databases.read(number, look_beside, fault);
    }
}

void serve(const Options& options) {
    const sigset_t signals = block_signals();
    Databases databases(options.databases, options.pool);
    Gateway gateway(databases, options.trusted_proxies, options.embed_origins);
    Descriptor listener = listen_at(options);
    const std::string url = url_of(listener);
    start_log();
    Connections connections(std::move(listener),
                            {options.threads, connections_for(options),
                             std::max<std::size_t>(options.threads * 3 / 4, 1), bodies_bytes_max,
                             gateway.trusted_proxies()},
                            {[&gateway](Head head, const Address& peer, bool is_last) {
                                 auto exchange = std::make_shared<Exchange>(
                                     gateway, std::move(head), peer, is_last);
                                 std::optional<Reply> reply = exchange->begin();
                                 return Connections::Begun{std::move(exchange), std::move(reply)};
                             },
                             [&gateway](const Problem& problem, const Address& peer) {
                                 return gateway.refuse(problem, peer);
                             }});
    gateway.set_connection_count([&connections] { return connections.count(); });
    bool all_ended = false;
    std::thread loop([&] {
        try {
            all_ended = connections.run();
        } catch (const std::exception& error) {
            log_event("error", error.what());
            end_log(log_time);
            std::_Exit(1);
        }
    });
    std::printf("whisperer-gateway: listening on %s\n", url.c_str());
    std::fflush(stdout);
    look_at_databases(databases);
    int number = 0;
    sigwait(&signals, &number);
    log_event("stopping", strsignal(number));
    connections.stop();
    loop.join();
    log_event("stopped", all_ended ? "every request was answered" : "some requests took too long");
    // Workers may still wait for the database, and the database may be at what they gave up.
    const bool is_quiet = databases.give_up(std::chrono::seconds(2)) && all_ended;
    if (!end_log(log_time) || !is_quiet)
        std::_Exit(0);
}

}  // namespace
}  // namespace whisperer::gateway

int main(int count, char** arguments) {
    namespace gateway = whisperer::gateway;
    try {
        gateway::serve(gateway::read_options(count, arguments));
        return 0;
    } catch (const gateway::Instead& instead) {
        std::fputs(instead.text.c_str(), instead.status == 0 ? stdout : stderr);
        return instead.status;
    } catch (const std::exception& error) {
        gateway::end_log(gateway::log_time);
        std::fprintf(stderr, "whisperer-gateway: %s\n", error.what());
        return 1;
    }
}
