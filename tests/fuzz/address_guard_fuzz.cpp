// Lists of networks: what an entry names it matches, allowed wins, denied adds.  And an IPv4
// address is decided alike in all the IPv6 forms that stand for it.
#include "worker/rules/address_guard.h"

#include <cstring>

#include "tests/fuzz/property.h"

using namespace whisperer::engine;

namespace {

void check_list(std::string_view text) {
    const std::vector<Network> networks = parse_networks(text);
    const AddressGuard open(text, "");
    const AddressGuard shut("", text);
    const AddressGuard both(text, text);
    for (const Network& network : networks) {
        const std::uint16_t port = network.port == 0 ? 443 : network.port;
        HOLDS(network.prefix_bits >= 0 && network.prefix_bits <= (network.address.v6 ? 128 : 32));
        HOLDS(network.contains(network.address, port));
        HOLDS(open.allows(network.address, port) && both.allows(network.address, port));
        HOLDS(!shut.allows(network.address, port));
        char printed[64];
        network.address.print(printed, sizeof printed);
        const auto again = Address::parse(printed);
        HOLDS(again && again->v6 == network.address.v6 && again->bytes == network.address.bytes);
    }
}

Address wrapped(const Address& inner, std::initializer_list<int> prefix, std::size_t at) {
    Address outer;
    outer.v6 = true;
    std::copy(prefix.begin(), prefix.end(), outer.bytes.begin());
    std::copy_n(inner.bytes.begin(), 4, outer.bytes.begin() + static_cast<std::ptrdiff_t>(at));
    return outer;
}

void check_forms(const Address& address, std::uint16_t port) {
    const AddressGuard guard("", "");
    const bool allowed = guard.allows(address, port);
    const auto alike = [&](std::initializer_list<int> prefix, std::size_t at) {
        HOLDS(guard.allows(wrapped(address, prefix, at), port) == allowed);
    };
    alike({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12);  // mapped
    alike({0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12);        // translated
    alike({0, 0x64, 0xff, 0x9b}, 12);                       // NAT64
    alike({0x20, 0x02}, 2);                                 // 6to4
    if (address.bytes[0] != 0)  // ::a.b.c.d; below ::1:0 are unspecified and loopback
        alike({}, 12);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        check_list(text_of(data, size));
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    if (size < 16)
        return 0;
    Address address;
    std::memcpy(address.bytes.data(), data, 4);
    check_forms(address, 80);
    address.v6 = true;
    std::memcpy(address.bytes.data(), data, 16);
    // Only 2000::/3 and what wraps an IPv4 address can be public.
    const bool zero = std::all_of(data, data + 8, [](std::uint8_t byte) { return byte == 0; });
    const bool nat64 = data[0] == 0 && data[1] == 0x64;
    HOLDS(!AddressGuard("", "").allows(address, 80) || data[0] >> 5 == 1 || zero || nat64);
    return 0;
}
