// Which addresses are refused, in every form that an address can be written in.
#include "worker/rules/address_guard.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <string>
#include <vector>

#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

bool allows(const AddressGuard& guard, const char* text, std::uint16_t port = 443) {
    const auto address = Address::parse(text);
    EXPECT_TRUE(address.has_value()) << text;
    return address && guard.allows(*address, port);
}

// First and last address of each range that is refused, and what lies beside it.
struct Range {
    const char* first;
    const char* last;
    const char* below;  // null: also refused
    const char* above;
};

constexpr Range special4[] = {
    {"0.0.0.0", "0.255.255.255", nullptr, "1.0.0.0"},
    {"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
    {"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
    {"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
    {"168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
    {"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
    {"169.254.169.254", "169.254.169.254", nullptr, nullptr},
    {"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
    {"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
    {"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
    {"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
    {"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
    {"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
    {"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
    {"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
    {"224.0.0.0", "239.255.255.255", "223.255.255.255", nullptr},
    {"240.0.0.0", "255.255.255.255", nullptr, nullptr},
};

constexpr Range special6[] = {
    {"::", "::", nullptr, nullptr},
    {"::1", "::1", nullptr, nullptr},
    {"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
    {"100::", "100::ffff:ffff:ffff:ffff", nullptr, nullptr},
    {"1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
    {"2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, "2001:200::"},
    {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:7fff::", "2620:4f:8001::"},
    {"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", "3fff:1000::"},
    {"4000::", "5fff::", nullptr, nullptr},
    {"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
    {"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
    {"fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
    {"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
};

TEST(AddressGuard, RefusesEverySpecialRangeAndAllowsItsNeighbours) {
    const AddressGuard guard("", "");
    const auto check = [&](const Range& range) {
        EXPECT_FALSE(allows(guard, range.first)) << range.first;
        EXPECT_FALSE(allows(guard, range.last)) << range.last;
        for (const char* neighbour : {range.below, range.above})
            if (neighbour != nullptr) {
                EXPECT_TRUE(allows(guard, neighbour)) << neighbour;
            }
    };
    for (const Range& range : special4)
        check(range);
    for (const Range& range : special6)
        check(range);
    for (const char* address : {"1.1.1.1", "8.8.8.8", "2000::1", "2606:4700::1111", "2a00::1"})
        EXPECT_TRUE(allows(guard, address)) << address;
}

// In each form that stands for an IPv4 address, every special range of IPv4.
TEST(AddressGuard, LooksThroughWrappedAddresses) {
    const AddressGuard guard("", "");
    const auto group = [](const Address& address, std::size_t at) {
        char text[8];
        std::snprintf(text, sizeof text, "%02x%02x", address.bytes[at], address.bytes[at + 1]);
        return std::string(text);
    };
    const auto forms_of = [&](const char* text) {
        const Address address = *Address::parse(text);
        const std::string groups = group(address, 0) + ':' + group(address, 2);
        return std::vector<std::string>{
            "::" + std::string(text), "::ffff:" + std::string(text),
            "::ffff:0:" + groups,     "64:ff9b::" + groups,
            "2002:" + groups + "::1", "2001:0:" + groups + "::fefe:fefe"};
    };
    for (const Range& range : special4)
        for (const char* address : {range.first, range.last})
            for (const std::string& form : forms_of(address))
                EXPECT_FALSE(allows(guard, form.c_str())) << form;
    for (const std::string& form : forms_of("1.1.1.1"))
        EXPECT_TRUE(allows(guard, form.c_str())) << form;
    // Teredo: the client's address is there, with its bits turned round.
    EXPECT_FALSE(allows(guard, "2001:0:101:101::80ff:fffe"));
    EXPECT_FALSE(allows(guard, "2001:0:101:101::f5fe:fefe"));
}

TEST(AddressGuard, TakesNoOtherAddressForAWrappedOne) {
    const AddressGuard guard("", "");
    for (const char* public_one :
         {"2a00::127.0.0.1", "2a00::ffff:127.0.0.1", "2a00::ffff:0:127.0.0.1",
          "2a64:ff9b::127.0.0.1", "2003:7f00:1::1", "2a02:7f00:1::1", "2101:0:7f00:1::1",
          "2002:101:101::127.0.0.1", "2004:0:7f00:1::1", "2001:1200:7f00:1::1"})
        EXPECT_TRUE(allows(guard, public_one)) << public_one;
    for (const char* reserved :
         {"::fffe:1.1.1.1", "::feff:1.1.1.1", "::ffff:1:1.1.1.1", "::ffff:100:1.1.1.1",
          "::fffe:0:1.1.1.1", "::feff:0:1.1.1.1", "::1:0:1.1.1.1", "::1:0:0:1.1.1.1", "1::1.1.1.1",
          "1::ffff:1.1.1.1", "1::ffff:0:1.1.1.1", "64:ff9b::1:1.1.1.1", "64:ff9a::1.1.1.1",
          "64:fe9b::1.1.1.1", "65:ff9b::1.1.1.1", "164:ff9b::1.1.1.1", "64:ff9b:100::1.1.1.1"})
        EXPECT_FALSE(allows(guard, reserved)) << reserved;
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

// Each form of an entry, with an address and port that it names, one beside it, and another port.
TEST(AddressGuard, EveryFormOfAnEntry) {
    const struct {
        const char* entry;
        const char* inside;
        const char* outside;
        bool any_port;
    } forms[] = {
        {"10.1.2.3", "10.1.2.3", "10.1.2.4", true},
        {"10.1.2.3:8443", "10.1.2.3", "10.1.2.4", false},
        {"10.1.2.0/24", "10.1.2.255", "10.1.3.0", true},
        {"10.1.2.0/24:8443", "10.1.2.0", "10.1.1.255", false},
        {"0.0.0.0/0", "10.1.2.3", "fd00::", true},
        {"::/0", "fd00::", "10.1.2.3", true},
        {"::1", "::1", "::2", true},
        {"fd00::8443", "fd00::8443", "fd00::", true},
        {"[fd00::1]", "fd00::1", "fd00::", true},
        {"[fd00::1]:8443", "fd00::1", "fd00::", false},
        {"fd00::/16", "fd00:ffff::", "fd01::", true},
        {"fd00::/16:8443", "fd00:ffff::", "fd01::", false},
        {"[fd00::/16]", "fd00:ffff::", "fd01::", true},
        {"[fd00::/16]:8443", "fd00:ffff::", "fd01::", false},
        {"[fd00::]/16", "fd00:ffff::", "fd01::", true},
        {"[fd00::]/16:8443", "fd00:ffff::", "fd01::", false},
    };
    for (const auto& form : forms) {
        const AddressGuard guard(form.entry, "");
        EXPECT_TRUE(allows(guard, form.inside, 8443)) << form.entry;
        EXPECT_EQ(allows(guard, form.inside, 8444), form.any_port) << form.entry;
        EXPECT_FALSE(allows(guard, form.outside, 8443)) << form.entry;
    }
}

// What a socket is about to connect to.
TEST(AddressGuard, ReadsTheAddressesOfSockets) {
    std::uint16_t port = 0;
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(8080);
    inet_pton(AF_INET, "127.0.0.1", &four.sin_addr);
    auto address = Address::from(reinterpret_cast<const sockaddr*>(&four), &port);
    ASSERT_TRUE(address);
    EXPECT_FALSE(address->v6);
    EXPECT_EQ(port, 8080);
    char text[64];
    address->print(text, sizeof text);
    EXPECT_STREQ(text, "127.0.0.1");

    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(8443);
    inet_pton(AF_INET6, "fd00::1", &six.sin6_addr);
    address = Address::from(reinterpret_cast<const sockaddr*>(&six), &port);
    ASSERT_TRUE(address);
    EXPECT_TRUE(address->v6);
    EXPECT_EQ(port, 8443);
    address->print(text, sizeof text);
    EXPECT_STREQ(text, "fd00::1");
    EXPECT_FALSE(AddressGuard("", "").allows(*address, port));

    sockaddr local{};
    local.sa_family = AF_UNIX;
    EXPECT_FALSE(Address::from(&local, &port));
}

TEST(AddressGuard, KnowsWhatNeedsNoLookUp) {
    using Addresses = std::vector<std::string>;
    EXPECT_EQ(fixed_addresses("10.0.0.1"), Addresses({"10.0.0.1"}));
    EXPECT_EQ(fixed_addresses("10.0.0.1."), Addresses({"10.0.0.1"}));
    EXPECT_EQ(fixed_addresses("fd00::1"), Addresses({"fd00::1"}));
    for (const char* host : {"localhost", "localhost.", "shop.localhost", "a.b.localhost."})
        EXPECT_EQ(fixed_addresses(host), Addresses({"127.0.0.1", "::1"})) << host;
    for (const char* host : {"example", "mylocalhost", "localhost.example", ""})
        EXPECT_EQ(fixed_addresses(host), Addresses()) << host;
}

TEST(AddressGuard, NamesTheBadEntry) {
    for (const char* networks : {"10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/8:0",
                                 "10.0.0.0/8:70000", "::1/129", "10.0.0.0/-1", "[10.0.0.1]:80"})
        EXPECT_THROW(parse_networks(networks), Invalid) << networks;
    EXPECT_TRUE(parse_networks(" , ").empty());
}

}  // namespace
}  // namespace whisperer::engine
