// The built-in list and the decision.
#include "worker/rules/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

#include "worker/base/clean_text.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

struct Range4 {
    std::uint32_t address;
    int prefix_bits;
};

constexpr std::uint32_t ip4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    return a << 24 | b << 16 | c << 8 | d;
}

// The IANA special-purpose registry: everything that is not somebody's public address.
constexpr Range4 denied_ranges4[] = {
    {ip4(0, 0, 0, 0), 8},         // this network; 0.0.0.0 reaches the local host on Linux
    {ip4(10, 0, 0, 0), 8},        // private
    {ip4(100, 64, 0, 0), 10},     // carrier-grade NAT; Alibaba's metadata
    {ip4(127, 0, 0, 0), 8},       // loopback
    {ip4(168, 63, 129, 16), 32},  // Azure's host agent
    {ip4(169, 254, 0, 0), 16},    // link-local; the metadata of most clouds
    {ip4(172, 16, 0, 0), 12},     // private
    {ip4(192, 0, 0, 0), 24},      // IETF protocol assignments; Oracle's metadata
    {ip4(192, 0, 2, 0), 24},      // documentation
    {ip4(192, 88, 99, 0), 24},    // 6to4 relays, withdrawn
    {ip4(192, 168, 0, 0), 16},    // private
    {ip4(198, 18, 0, 0), 15},     // benchmarking
    {ip4(198, 51, 100, 0), 24},   // documentation
    {ip4(203, 0, 113, 0), 24},    // documentation
    {ip4(224, 0, 0, 0), 4},       // multicast
    {ip4(240, 0, 0, 0), 4},       // reserved, broadcast
};

struct Range6 {
    std::array<std::uint16_t, 4> groups;  // the first 64 bits
    int prefix_bits;
};

// Of IPv6 only 2000::/3 is public at all; these are the exceptions within.
constexpr Range6 denied_ranges6[] = {
    {{0x2001, 0x0000, 0, 0}, 23},       // IETF protocol assignments (Teredo is decided before)
    {{0x2001, 0x0db8, 0, 0}, 32},       // documentation
    {{0x2620, 0x004f, 0x8000, 0}, 48},  // AS112
    {{0x3fff, 0x0000, 0, 0}, 20},       // documentation
};

bool same_prefix(const std::uint8_t* a, const std::uint8_t* b, int bits) {
    const int whole = bits / 8;
    if (std::memcmp(a, b, static_cast<std::size_t>(whole)) != 0)
        return false;
    const int rest = bits % 8;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool is_denied4(const Address& address) {
    const std::uint32_t value =
        ip4(address.bytes[0], address.bytes[1], address.bytes[2], address.bytes[3]);
    return std::any_of(std::begin(denied_ranges4), std::end(denied_ranges4), [&](Range4 range) {
        return (value ^ range.address) >> (32 - range.prefix_bits) == 0;
    });
}

bool in_range6(const Address& address, const Range6& range) {
    std::array<std::uint8_t, 8> prefix{};
    for (std::size_t i = 0; i < range.groups.size(); ++i) {
        prefix[2 * i] = static_cast<std::uint8_t>(range.groups[i] >> 8);
        prefix[2 * i + 1] = static_cast<std::uint8_t>(range.groups[i] & 255);
    }
    return same_prefix(address.bytes.data(), prefix.data(), range.prefix_bits);
}

bool is_denied6(const Address& address) {
    if (address.bytes[0] >> 5 != 1)
        return true;
    return std::any_of(std::begin(denied_ranges6), std::end(denied_ranges6),
                       [&](const Range6& range) { return in_range6(address, range); });
}

Address embedded4(const Address& address, std::size_t at, std::uint8_t mask = 0) {
    Address inner;
    for (std::size_t i = 0; i < 4; ++i)
        inner.bytes[i] = address.bytes[at + i] ^ mask;
    return inner;
}

bool all_zero(const Address& address, std::size_t from, std::size_t to) {
    return std::all_of(address.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                       address.bytes.begin() + static_cast<std::ptrdiff_t>(to),
                       [](std::uint8_t byte) { return byte == 0; });
}

// The IPv4 addresses that an IPv6 address stands for; both must pass.  count 0: it is its own.
struct Embedded {
    std::array<Address, 2> addresses{};
    std::size_t count = 0;
    void add(const Address& address) { addresses[count++] = address; }
};

Embedded embedded_in(const Address& address) {
    const auto& b = address.bytes;
    Embedded found;
    const bool mapped = all_zero(address, 0, 10) && b[10] == 0xff && b[11] == 0xff;
    const bool compatible = all_zero(address, 0, 12);
    const bool translated =
        all_zero(address, 0, 8) && b[8] == 0xff && b[9] == 0xff && b[10] == 0 && b[11] == 0;
    const bool nat64 =
        b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b && all_zero(address, 4, 12);
    if (mapped || compatible || translated || nat64) {
        found.add(embedded4(address, 12));
    } else if (b[0] == 0x20 && b[1] == 0x02) {  // 6to4
        found.add(embedded4(address, 2));
    } else if (b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0) {  // Teredo: server, client
        found.add(embedded4(address, 4));
        found.add(embedded4(address, 12, 0xff));
    }
    return found;
}

bool any_contains(const std::vector<Network>& networks, const Address& address,
                  std::uint16_t port) {
    return std::any_of(networks.begin(), networks.end(),
                       [&](const Network& network) { return network.contains(address, port); });
}

int parse_number(std::string_view text, int max) {
    int value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value <= max ? value : -1;
}

[[noreturn]] void refuse_network(std::string_view entry) {
    throw Invalid('"' + to_clean_line(entry, 64) + "\" is not a network",
                  "Write cidr[:port], as in 10.1.0.0/16, 192.168.0.7:8080 or [fd00::/8]:443.");
}

// Takes the ":port" off the end of an entry, if it is one.
std::uint16_t take_port(std::string_view& text, std::string_view entry) {
    const std::size_t colon = text.rfind(':');
    const std::size_t bracket = text.rfind(']');
    const std::size_t slash = text.rfind('/');
    const bool many_colons = text.find(':') != colon;
    const bool behind = (bracket != std::string_view::npos && colon > bracket) ||
                        (slash != std::string_view::npos && colon > slash) || !many_colons;
    if (colon == std::string_view::npos || !behind)
        return 0;
    const int port = parse_number(text.substr(colon + 1), 65535);
    if (port < 1)
        refuse_network(entry);
    text = text.substr(0, colon);
    return static_cast<std::uint16_t>(port);
}

Network parse_network(std::string_view entry) {
    std::string_view text = entry;
    Network network;
    network.port = take_port(text, entry);
    std::string plain;
    for (char c : text)
        if (c != '[' && c != ']')
            plain += c;
    const std::size_t slash = plain.find('/');
    const auto address = Address::parse(std::string_view(plain).substr(0, slash));
    const bool brackets_match =
        std::count(text.begin(), text.end(), '[') == std::count(text.begin(), text.end(), ']') &&
        (text.empty() || text.find('[') == std::string_view::npos ||
         (text.front() == '[' && address && address->v6));
    if (!address || !brackets_match)
        refuse_network(entry);
    network.address = *address;
    const int bits_max = address->v6 ? 128 : 32;
    network.prefix_bits = slash == std::string::npos
                              ? bits_max
                              : parse_number(std::string_view(plain).substr(slash + 1), bits_max);
    if (network.prefix_bits < 0)
        refuse_network(entry);
    return network;
}

}  // namespace

std::optional<Address> Address::parse(std::string_view text) {
    const std::string copy(text);
    Address address;
    if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1)
        return address;
    address.v6 = true;
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1)
        return address;
    return std::nullopt;
}

std::optional<Address> Address::from(const sockaddr* socket_address, std::uint16_t* port) {
    Address address;
    if (socket_address->sa_family == AF_INET) {
        sockaddr_in in;
        std::memcpy(&in, socket_address, sizeof in);
        std::memcpy(address.bytes.data(), &in.sin_addr, 4);
        *port = ntohs(in.sin_port);
        return address;
    }
    if (socket_address->sa_family == AF_INET6) {
        sockaddr_in6 in;
        std::memcpy(&in, socket_address, sizeof in);
        std::memcpy(address.bytes.data(), &in.sin6_addr, 16);
        address.v6 = true;
        *port = ntohs(in.sin6_port);
        return address;
    }
    return std::nullopt;
}

void Address::print(char* text, std::size_t capacity) const noexcept {
    if (inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, static_cast<socklen_t>(capacity)) ==
        nullptr)
        text[0] = '\0';
}

static std::string_view without_last_dot(std::string_view host) {
    return host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
}

bool is_localhost(std::string_view host) {
    host = without_last_dot(host);
    return host == "localhost" || host.ends_with(".localhost");
}

std::vector<std::string> fixed_addresses(std::string_view host) {
    if (is_localhost(host))
        return {"127.0.0.1", "::1"};
    host = without_last_dot(host);
    if (Address::parse(host))
        return {std::string(host)};
    return {};
}

bool Network::contains(const Address& other, std::uint16_t other_port) const {
    return address.v6 == other.v6 && (port == 0 || port == other_port) &&
           same_prefix(address.bytes.data(), other.bytes.data(), prefix_bits);
}

std::vector<Network> parse_networks(std::string_view text) {
    constexpr std::string_view separators = ", \t\r\n";
    std::vector<Network> networks;
    for (std::size_t at = text.find_first_not_of(separators); at != std::string_view::npos;) {
        const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
        networks.push_back(parse_network(text.substr(at, end - at)));
        at = text.find_first_not_of(separators, end);
    }
    return networks;
}

std::string network_of(const std::string& address, std::uint16_t port) {
    const bool v6 = address.find(':') != std::string::npos;
    return (v6 ? '[' + address + ']' : address) + ':' + std::to_string(port);
}

std::string refused_text(const std::string& address, std::uint16_t port) {
    return "address " + address + " is not allowed (whisperer.allowed_networks does not name " +
           network_of(address, port) + ')';
}

AddressGuard::AddressGuard(std::string_view allowed_networks, std::string_view denied_networks)
    : allowed_(parse_networks(allowed_networks)), denied_(parse_networks(denied_networks)) {}

bool AddressGuard::allows(const Address& address, std::uint16_t port) const {
    if (any_contains(allowed_, address, port))
        return true;
    if (any_contains(denied_, address, port))
        return false;
    if (!address.v6)
        return !is_denied4(address);
    const Embedded inner = embedded_in(address);
    for (std::size_t i = 0; i < inner.count; ++i)
        if (!allows(inner.addresses[i], port))
            return false;
    return inner.count > 0 || !is_denied6(address);
}

}  // namespace whisperer::engine
