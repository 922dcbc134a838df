// Which addresses may be talked to: the wall between a URL that somebody wrote and our network.
//
// Invariant: an address is refused unless it is plainly public or an administrator allowed it.
// Decided on addresses, never on names (a name can change its mind between check and connect), for
// every request, by the transport; Settings makes it from allowed_networks and denied_networks.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sockaddr;

namespace whisperer::engine {

// IPv4 or IPv6; IPv4 has its 4 bytes in front.
struct Address {
    std::array<std::uint8_t, 16> bytes{};
    bool v6 = false;

    bool operator==(const Address&) const = default;
    static std::optional<Address> parse(std::string_view text);
    static std::optional<Address> from(const sockaddr* socket_address, std::uint16_t* port);
    void print(char* text, std::size_t capacity) const noexcept;
};

// localhost, or a name below it (RFC 6761, 6.3): loopback, wherever it is asked.
bool is_localhost(std::string_view host);
// What a host leads to without a look-up: an address to itself, localhost to loopback.  Empty: only
// a look-up can tell.
std::vector<std::string> fixed_addresses(std::string_view host);

// "cidr[:port]"; bits beyond the mask are ignored.  For IPv6 with a port "[cidr]:port" is the form
// to write; "[address]/bits:port" and "cidr:port" (with bits) are understood too.
struct Network {
    Address address;
    int prefix_bits = 0;
    std::uint16_t port = 0;  // 0: any

    bool contains(const Address& other, std::uint16_t other_port) const;
};

// A list separated by commas or spaces; empty is a list too.  Throws Invalid, naming the entry.
std::vector<Network> parse_networks(std::string_view text);

// What is said of an address that is refused, with what allowed_networks would have to name.
std::string refused_text(const std::string& address, std::uint16_t port);
std::string network_of(const std::string& address, std::uint16_t port);

class AddressGuard {
  public:
    // Throws Invalid.
    AddressGuard(std::string_view allowed_networks, std::string_view denied_networks);
    // Allowed wins over denied, denied adds to the built-in list.  An IPv6 address that only wraps
    // an IPv4 address (mapped, compatible, translated, 6to4, Teredo, NAT64) is decided by that one.
    bool allows(const Address& address, std::uint16_t port) const;

  private:
    std::vector<Network> allowed_;
    std::vector<Network> denied_;
};

}  // namespace whisperer::engine
