// Secrets at rest: AES-256-GCM against published vectors, and what must not open.
#include "worker/base/sealed.h"

#include <gtest/gtest.h>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/engine.h"

namespace whisperer::engine {
namespace {

const std::string first_key(64, '1');
const std::string second_key = std::string(62, '2') + "Fa";

std::string bytes(std::string_view hex) {
    return *from_hex(hex);
}

// The GCM specification of McGrew and Viega as submitted to NIST, test cases 13 and 16.
TEST(Sealed, GcmVectors) {
    const SealingKey zero(std::string(32, '\0'));
    EXPECT_EQ(to_hex(zero.encrypt(std::string(12, '\0'), "", "")),
              "530f8afbc74536b9a963b4f1c4cb738b");
    const SealingKey key(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
    const std::string nonce = bytes("cafebabefacedbaddecaf888");
    const std::string bound = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    const std::string plain = bytes(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    const std::string encrypted = bytes(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b");
    EXPECT_EQ(to_hex(key.encrypt(nonce, bound, plain)), to_hex(encrypted));
    std::string opened;
    EXPECT_TRUE(key.decrypt(nonce, bound, encrypted, opened));
    EXPECT_EQ(opened, plain);
    EXPECT_FALSE(key.decrypt(nonce, "other", encrypted, opened));
    EXPECT_EQ(opened, "");
}

// printf '\x11...' (32 bytes) | sha256sum
TEST(Sealed, KeyIdIsTheBeginningOfTheKeysSha256) {
    EXPECT_EQ(SealingKey(bytes(first_key)).id(), "02d449a31fbb267c");
}

TEST(Sealed, WhatWasSealedOpensInItsPlaceAlone) {
    const KeyRing ring(first_key);
    for (const std::string& plain :
         {std::string("secret"), std::string(), std::string(8192, 'x')}) {
        const std::string stored = ring.seal({7, "secret_key"}, plain);
        EXPECT_TRUE(is_sealed(stored));
        EXPECT_EQ(stored.size(), sealed_bytes(plain.size()));
        EXPECT_EQ(stored.substr(0, 26), "sealed:1:02d449a31fbb267c:");
        EXPECT_EQ(ring.open({7, "secret_key"}, stored), plain);
        EXPECT_THROW(ring.open({8, "secret_key"}, stored), Invalid);
        EXPECT_THROW(ring.open({7, "previous_secret_key"}, stored), Invalid);
    }
}

TEST(Sealed, NoncesDoNotRepeat) {
    const KeyRing ring(first_key);
    EXPECT_NE(ring.seal({1, "secret_key"}, "secret"), ring.seal({1, "secret_key"}, "secret"));
}

TEST(Sealed, NothingThatWasChangedOpens) {
    const KeyRing ring(first_key);
    const std::string stored = ring.seal({1, "secret_key"}, "secret");
    for (std::size_t i = 0; i < stored.size(); ++i) {
        std::string changed = stored;
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        EXPECT_THROW(ring.open({1, "secret_key"}, changed), Invalid) << i;
        EXPECT_THROW(ring.open({1, "secret_key"}, stored.substr(0, i)), Invalid) << i;
    }
    EXPECT_THROW(ring.open({1, "secret_key"}, "sealed:1:02d449a31fbb267c:"), Invalid);
}

TEST(Sealed, TheFirstKeySealsAndAllOpen) {
    const KeyRing before(first_key);
    const KeyRing after("# rotated\n" + second_key + "\r\n\n  " + first_key + "  \n#");
    const std::string old_one = before.seal({1, "secret_key"}, "secret");
    EXPECT_EQ(after.open({1, "secret_key"}, old_one), "secret");
    EXPECT_FALSE(after.is_current(old_one));
    const std::string new_one = after.seal({1, "secret_key"}, "secret");
    EXPECT_TRUE(after.is_current(new_one));
    EXPECT_THROW(before.open({1, "secret_key"}, new_one), Invalid);
}

TEST(Sealed, PlainInPlaceOfTheFirstKeySealsNoMore) {
    const KeyRing ring("plain\n" + first_key);
    const std::string stored = KeyRing(first_key).seal({1, "secret_key"}, "secret");
    EXPECT_FALSE(ring.is_current(stored));
    EXPECT_EQ(ring.seal({1, "secret_key"}, ring.open({1, "secret_key"}, stored)), "secret");
    EXPECT_TRUE(ring.is_current("secret"));
    EXPECT_THROW(KeyRing(first_key + "\nplain"), Invalid);
}

TEST(Sealed, RefusesWhatIsNoKeyFile) {
    EXPECT_THROW(KeyRing(""), Invalid);
    EXPECT_THROW(KeyRing("# only this\n"), Invalid);
    EXPECT_THROW(KeyRing(first_key.substr(2)), Invalid);
    EXPECT_THROW(KeyRing(first_key + "11"), Invalid);
    EXPECT_THROW(KeyRing(first_key + " " + second_key), Invalid);
    EXPECT_THROW(KeyRing(std::string(64, 'g')), Invalid);
    EXPECT_THROW(KeyRing(first_key + std::string(1, '\0')), Invalid);
    std::string many;
    for (int i = 0; i < 65; ++i)
        many += first_key + '\n';
    EXPECT_THROW(KeyRing{many}, Invalid);
}

TEST(Sealed, AnErrorNamesTheLineAndNeverItsContent) {
    WhispererError error{};
    const std::string file = first_key + "\nDEADBEEF\n";
    EXPECT_EQ(whisperer_check_keys({file.data(), file.size()}, &error), WhispererInvalid);
    EXPECT_STREQ(error.message, "line 2 of the key file is not a key");
    EXPECT_EQ(std::string(error.hint).find("DEADBEEF"), std::string::npos);
}

TEST(Sealed, DoorSealsAndOpens) {
    const WhispererSpan keys{first_key.data(), first_key.size()};
    const std::string plain = "secret";
    const WhispererSecretPlace place{3, {"auth", 4}};
    std::string sealed(whisperer_sealed_bytes_max(plain.size()), '\0');
    std::size_t size = 0;
    ASSERT_EQ(
        whisperer_seal(keys, &place, {plain.data(), plain.size()}, sealed.data(), &size, nullptr),
        WhispererOk);
    ASSERT_EQ(size, sealed.size());
    const WhispererSpan stored{sealed.data(), sealed.size()};
    EXPECT_EQ(whisperer_is_sealed(stored), 1);
    EXPECT_EQ(whisperer_is_sealed_now(keys, stored), 1);
    std::string opened(sealed.size(), '\0');
    ASSERT_EQ(whisperer_open_sealed(keys, &place, stored, opened.data(), &size, nullptr),
              WhispererOk);
    EXPECT_EQ(opened.substr(0, size), plain);
}

}  // namespace
}  // namespace whisperer::engine
