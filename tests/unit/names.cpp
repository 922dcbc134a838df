// The getaddrinfo of the test program.  libcurl calls it from threads of its own.
#include "tests/unit/names.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

using whisperer::engine::Names;

namespace {

struct Known {
    std::vector<std::string> addresses;
    bool is_silent = false;
};

// Never destroyed: a thread of libcurl's may outlive everything else.
struct Table {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, Known> names;
    std::map<std::string, int> asked;
};

Table& table() {
    static auto* const one = new Table;
    return *one;
}

// One block, as glibc has it: freeaddrinfo frees each entry, and the address with it.
addrinfo* entry_of(const std::string& text, const char* service, const addrinfo* hints) {
    const bool v6 = text.find(':') != std::string::npos;
    const std::size_t bytes = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    auto* const entry = static_cast<addrinfo*>(std::calloc(1, sizeof(addrinfo) + bytes));
    entry->ai_family = v6 ? AF_INET6 : AF_INET;
    entry->ai_socktype = hints != nullptr ? hints->ai_socktype : SOCK_STREAM;
    entry->ai_addrlen = static_cast<socklen_t>(bytes);
    entry->ai_addr = reinterpret_cast<sockaddr*>(entry + 1);
    entry->ai_addr->sa_family = static_cast<sa_family_t>(entry->ai_family);
    const auto port =
        htons(static_cast<std::uint16_t>(service != nullptr ? std::atoi(service) : 0));
    if (v6) {
        auto* const in6 = reinterpret_cast<sockaddr_in6*>(entry->ai_addr);
        in6->sin6_port = port;
        inet_pton(AF_INET6, text.c_str(), &in6->sin6_addr);
    } else {
        auto* const in = reinterpret_cast<sockaddr_in*>(entry->ai_addr);
        in->sin_port = port;
        inet_pton(AF_INET, text.c_str(), &in->sin_addr);
    }
    return entry;
}

int answer(const Known& known, const char* service, const addrinfo* hints, addrinfo** result) {
    *result = nullptr;
    addrinfo** next = result;
    const int family = hints != nullptr ? hints->ai_family : AF_UNSPEC;
    for (const std::string& address : known.addresses) {
        const int its = address.find(':') != std::string::npos ? AF_INET6 : AF_INET;
        if (family != AF_UNSPEC && family != its)
            continue;
        *next = entry_of(address, service, hints);
        next = &(*next)->ai_next;
    }
    return *result != nullptr ? 0 : EAI_NONAME;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* node,
                                                                  const char* service,
                                                                  const addrinfo* hints,
                                                                  addrinfo** result) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM})
        if (sigismember(&blocked, signal) == 0)
            Names::signals_open = true;
    // From libcurl 8.20 on one name is looked up twice, for each family by itself.
    const bool is_first = hints == nullptr || hints->ai_family != AF_INET6;
    Names::look_ups += is_first ? 1 : 0;
    Table& names = table();
    {
        std::unique_lock lock(names.mutex);
        const std::string name = node != nullptr ? node : "";
        names.asked[name] += is_first ? 1 : 0;
        const auto found = names.names.find(name);
        if (found != names.names.end()) {
            if (!found->second.is_silent)
                return answer(found->second, service, hints, result);
            names.changed.wait(lock, [&] { return !names.names.contains(name); });
            return EAI_NONAME;
        }
    }
    static const auto real =
        reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(node, service, hints, result);
}

namespace whisperer::engine {

std::atomic<int> Names::look_ups{0};
std::atomic<bool> Names::signals_open{false};

Names::~Names() {
    const std::lock_guard lock(table().mutex);
    table().names.clear();
    table().changed.notify_all();
}

void Names::put(const std::string& name, const std::vector<std::string>& addresses) {
    const std::lock_guard lock(table().mutex);
    table().names[name] = {addresses, false};
}

void Names::put_silent(const std::string& name) {
    const std::lock_guard lock(table().mutex);
    table().names[name] = {{}, true};
}

int Names::asked(const std::string& name) {
    const std::lock_guard lock(table().mutex);
    return table().asked[name];
}

}  // namespace whisperer::engine
