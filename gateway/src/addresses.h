// IP addresses and networks: who a client is, and which proxies are believed.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sockaddr_storage;

namespace whisperer::gateway {

// IPv4 lies in ::ffff:0:0/96, so that one form of an address is one address.
struct Address {
    std::array<unsigned char, 16> bytes{};

    static std::optional<Address> parse(std::string_view text);
    static Address of(const sockaddr_storage& peer);

    bool is_ipv4() const;
    std::string text() const;
    // Whom limits count as one: an IPv4 address, or a /64 of IPv6, which one client may have whole.
    std::string client() const;
};

class Networks {
  public:
    // "cidr,cidr,..." or single addresses; empty: none.  Throws std::invalid_argument.
    static Networks parse(std::string_view list);

    bool contains(const Address& address) const;

  private:
    struct Network {
        Address base;
        int prefix_bits;
    };
    std::vector<Network> networks_;
};

// The client of a request that came from peer: behind trusted proxies, the last address of
// X-Forwarded-For that is not one of theirs.
Address client_of(const Address& peer, std::string_view forwarded_for, const Networks& trusted);

}  // namespace whisperer::gateway
