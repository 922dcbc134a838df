// Which addresses are refused, in every form that an address can be written in.
#include "address_guard.h"

#include <gtest/gtest.h>

#include "invalid.h"

namespace whisperer::engine {
namespace {

bool allows(const AddressGuard& guard, const char* text, std::uint16_t port = 443) {
    const auto address = Address::parse(text);
    EXPECT_TRUE(address.has_value()) << text;
    return address && guard.allows(*address, port);
}

TEST(AddressGuard, RefusesEverySpecialRangeAndAllowsItsNeighbours) {
    const AddressGuard guard("", "");
    for (const char* address : {"0.0.0.0",
                                "10.0.0.1",
                                "10.255.255.255",
                                "100.64.0.1",
                                "127.0.0.1",
                                "127.255.255.254",
                                "169.254.169.254",
                                "172.16.0.1",
                                "172.31.255.255",
                                "192.0.0.192",
                                "192.0.2.1",
                                "192.168.1.1",
                                "198.18.0.1",
                                "198.51.100.7",
                                "203.0.113.9",
                                "224.0.0.1",
                                "255.255.255.255",
                                "::",
                                "::1",
                                "fe80::1",
                                "fc00::1",
                                "fd12::1",
                                "ff02::1",
                                "2001:db8::1",
                                "100::1"})
        EXPECT_FALSE(allows(guard, address)) << address;
    for (const char* address : {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255",
                                "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
                                "192.169.0.0", "223.255.255.255", "2606:4700::1111", "2a00::1"})
        EXPECT_TRUE(allows(guard, address)) << address;
}

TEST(AddressGuard, LooksThroughWrappedAddresses) {
    const AddressGuard guard("", "");
    for (const char* address : {"::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:10.0.0.1",
                                "64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:c0a8:101::1"})
        EXPECT_FALSE(allows(guard, address)) << address;
    EXPECT_TRUE(allows(guard, "::ffff:1.1.1.1"));
    EXPECT_TRUE(allows(guard, "64:ff9b::1.1.1.1"));
}

TEST(AddressGuard, AllowedWinsAndDeniedAdds) {
    const AddressGuard guard("127.0.0.0/8:8080, 10.1.0.0/16 [fd00::/8]:443", "1.1.1.0/24 10.1.2.3");
    EXPECT_TRUE(allows(guard, "127.0.0.1", 8080));
    EXPECT_FALSE(allows(guard, "127.0.0.1", 8081));
    EXPECT_TRUE(allows(guard, "10.1.2.3", 80));
    EXPECT_FALSE(allows(guard, "10.2.0.1", 80));
    EXPECT_TRUE(allows(guard, "fd00::1", 443));
    EXPECT_FALSE(allows(guard, "fd00::1", 80));
    EXPECT_FALSE(allows(guard, "1.1.1.1"));
    EXPECT_TRUE(allows(guard, "1.1.2.1"));
    EXPECT_TRUE(allows(guard, "::ffff:127.0.0.1", 8080));
}

TEST(AddressGuard, NamesTheBadEntry) {
    for (const char* networks : {"10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/8:0",
                                 "10.0.0.0/8:70000", "::1/129", "10.0.0.0/-1", "[10.0.0.1]:80"})
        EXPECT_THROW(parse_networks(networks), Invalid) << networks;
    EXPECT_TRUE(parse_networks(" , ").empty());
}

}  // namespace
}  // namespace whisperer::engine
