// IP addresses and networks; see addresses.h.
#include "addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "text.h"

namespace whisperer::gateway {

namespace {

constexpr std::array<unsigned char, 12> ipv4_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_port(std::string_view text) {
    return text.size() >= 2 && text.size() <= 6 && text[0] == ':' &&
           std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<Address> Address::parse(std::string_view text) {
    const std::string copy(text);
    if (copy.size() != std::strlen(copy.c_str()))
        return std::nullopt;
    Address address;
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1)
        return address;
    std::copy(ipv4_prefix.begin(), ipv4_prefix.end(), address.bytes.begin());
    if (inet_pton(AF_INET, copy.c_str(), address.bytes.data() + 12) == 1)
        return address;
    return std::nullopt;
}

Address Address::of(const sockaddr_storage& peer) {
    Address address;
    if (peer.ss_family == AF_INET6) {
        const auto& in6 = reinterpret_cast<const sockaddr_in6&>(peer);
        std::memcpy(address.bytes.data(), &in6.sin6_addr, 16);
    } else if (peer.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(peer);
        std::copy(ipv4_prefix.begin(), ipv4_prefix.end(), address.bytes.begin());
        std::memcpy(address.bytes.data() + 12, &in.sin_addr, 4);
    }
    return address;
}

bool Address::is_ipv4() const {
    return std::equal(ipv4_prefix.begin(), ipv4_prefix.end(), bytes.begin());
}

std::string Address::text() const {
    char buffer[INET6_ADDRSTRLEN];
    if (is_ipv4())
        inet_ntop(AF_INET, bytes.data() + 12, buffer, sizeof buffer);
    else
        inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
    return buffer;
}

std::string Address::client() const {
    const std::size_t counted = is_ipv4() ? 16 : 8;
    return {reinterpret_cast<const char*>(bytes.data()), counted};
}

Networks Networks::parse(std::string_view list) {
    Networks result;
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        const std::string_view entry = trimmed(list.substr(0, comma));
        list.remove_prefix(std::min(comma + 1, list.size()));
        if (entry.empty())
            continue;
        const std::size_t slash = entry.find('/');
        const auto base = Address::parse(entry.substr(0, slash));
        const bool ipv4 = base && entry.find(':') == std::string_view::npos;
        int bits = ipv4 ? 32 : 128;
        bool good = base.has_value();
        if (good && slash != std::string_view::npos) {
            const std::string_view digits = entry.substr(slash + 1);
            const int most = bits;
            const auto [end, error] =
                std::from_chars(digits.data(), digits.data() + digits.size(), bits);
            good = error == std::errc{} && end == digits.data() + digits.size() && bits >= 0 &&
                   bits <= most;
        }
        if (!good)
            throw std::invalid_argument('"' + std::string(entry) + "\" is not a network");
        result.networks_.push_back({*base, ipv4 ? bits + 96 : bits});
    }
    return result;
}

bool Networks::contains(const Address& address) const {
    return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
        for (int bit = 0; bit < network.prefix_bits; bit++) {
            const unsigned mask = 0x80u >> (bit % 8);
            const auto byte = static_cast<std::size_t>(bit / 8);
            if ((network.base.bytes[byte] & mask) != (address.bytes[byte] & mask))
                return false;
        }
        return true;
    });
}

namespace {

// As proxies write it, some with the client's port: 192.0.2.1:4711, [2001:db8::1]:4711.
std::optional<Address> forwarded_address(std::string_view text) {
    if (text.starts_with('[')) {
        const std::size_t end = std::min(text.find(']'), text.size());
        const std::string_view rest = text.substr(std::min(end + 1, text.size()));
        const std::string_view inner = text.substr(1, end - 1);
        const bool is_v6 = end < text.size() && inner.find(':') != std::string_view::npos;
        return is_v6 && (rest.empty() || is_port(rest)) ? Address::parse(inner) : std::nullopt;
    }
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos && is_port(text.substr(colon)))
        return Address::parse(text.substr(0, colon));
    return Address::parse(text);
}

}  // namespace

Address client_of(const Address& peer, std::string_view forwarded_for, const Networks& trusted) {
    Address client = peer;
    while (trusted.contains(client) && !forwarded_for.empty()) {
        const std::size_t comma = forwarded_for.rfind(',');
        const std::size_t begin = comma == std::string_view::npos ? 0 : comma + 1;
        const auto next = forwarded_address(trimmed(forwarded_for.substr(begin)));
        // What a proxy wrote and cannot be read ends the chain at that proxy.
        if (!next)
            break;
        client = *next;
        forwarded_for = forwarded_for.substr(0, begin == 0 ? 0 : begin - 1);
    }
    return client;
}

}  // namespace whisperer::gateway
