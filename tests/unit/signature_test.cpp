// Signatures against the published vectors of Standard Webhooks, and the rules of secrets.
#include "worker/rules/signature.h"

#include <gtest/gtest.h>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

TEST(Signature, StandardWebhooksVectors) {
    const Signer first("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "");
    EXPECT_EQ(first.webhook_signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
                                      R"({"test": 2432232314})"),
              "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    const Signer second("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "");
    EXPECT_EQ(second.webhook_signature("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553",
                                       R"({"email":"test@example.com","username":"test_user"})"),
              "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

TEST(Signature, WhatAKeySignedBeforeSaysNothing) {
    const HmacKey key("Jefe");
    const std::string first = key.sign({"what do ya want ", "for nothing?"});
    key.sign({"another"});
    EXPECT_EQ(to_hex(key.sign({"what do ya want for nothing?"})), to_hex(first));
    EXPECT_EQ(to_hex(first), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

// RFC 4231, test case 2: a key of text, over the body alone.
TEST(Signature, BodySignatureIsHmacWithTheSecretsText) {
    const Signer signer("Jefe", "");
    EXPECT_EQ(signer.body_signature("what do ya want for nothing?"),
              "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Signature, BodySignatureOfWhsecSecretIsKeyedWithItsTextNotWithTheDecodedKey) {
    const Signer plain("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "");
    // openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw < /dev/null
    EXPECT_EQ(plain.body_signature(""),
              "sha256=da5f5865984e699a69cfec62ce49a76daf8ae4601b54a781fa13f3b2d3b2088a");
}

TEST(Signature, BothSecretsSignWhileTheyRotate) {
    const Signer current("new", "");
    const Signer previous("old", "");
    const Signer both("new", "old");
    EXPECT_EQ(both.webhook_signature("id", "1", "body"),
              current.webhook_signature("id", "1", "body") + " " +
                  previous.webhook_signature("id", "1", "body"));
    EXPECT_EQ(both.body_signature("body"), previous.body_signature("body"));
}

TEST(Signature, EmptySecretSignsNothing) {
    EXPECT_FALSE(Signer("", "").signs());
    EXPECT_TRUE(Signer("secret", "").signs());
}

// A key of Svix's documentation; the first vector's message.
constexpr const char* signing_key =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

TEST(Signature, Ed25519Vector) {
    const Signer signer(signing_key, "");
    EXPECT_EQ(signer.webhook_signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
                                       R"({"test": 2432232314})"),
              "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+"
              "m7TBAg==");
    EXPECT_TRUE(signer.signs());
    EXPECT_FALSE(signer.signs_body());
}

// RFC 8032, 7.1, test 1.
TEST(Signature, Ed25519Rfc8032) {
    const Ed25519Key key(
        *from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    EXPECT_EQ(to_hex(key.public_key()),
              "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    EXPECT_EQ(to_hex(key.sign({})),
              "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
              "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST(Signature, BothKindsSignWhileTheyRotate) {
    const Signer hmac("old", "");
    const Signer ed25519(signing_key, "");
    const auto signature = [](const Signer& signer) {
        return signer.webhook_signature("id", "1", "body");
    };
    const Signer forward(signing_key, "old");
    EXPECT_EQ(signature(forward), signature(ed25519) + " " + signature(hmac));
    EXPECT_EQ(forward.body_signature("body"), hmac.body_signature("body"));
    const Signer back("old", signing_key);
    EXPECT_EQ(signature(back), signature(hmac) + " " + signature(ed25519));
    EXPECT_EQ(back.body_signature("body"), hmac.body_signature("body"));
    const Signer both(signing_key, make_signing_key(std::string(32, 's')));
    EXPECT_FALSE(both.signs_body());
}

TEST(Signature, ChecksSigningKeys) {
    EXPECT_NO_THROW(check_secret(signing_key));
    EXPECT_NO_THROW(check_secret(make_signing_key(std::string(32, 's'))));
    const std::string base64(std::string_view(signing_key).substr(5));
    const std::string bytes = *from_base64(base64);
    EXPECT_THROW(check_secret("whsk_"), Invalid);
    EXPECT_THROW(check_secret("whsk_not base64!"), Invalid);
    EXPECT_THROW(check_secret("whsk_" + to_base64(bytes.substr(0, 32))), Invalid);
    EXPECT_THROW(check_secret("whsk_" + to_base64(bytes + "x")), Invalid);
    std::string other_public = bytes;
    other_public[63] = static_cast<char>(other_public[63] ^ 1);
    EXPECT_THROW(check_secret("whsk_" + to_base64(other_public)), Invalid);
    std::string other_seed = bytes;
    other_seed[0] = static_cast<char>(other_seed[0] ^ 1);
    EXPECT_THROW(check_secret("whsk_" + to_base64(other_seed)), Invalid);
}

TEST(Signature, ChecksSecrets) {
    EXPECT_THROW(check_secret("sealed:1:0123456789abcdef:AAAA"), Invalid);
    EXPECT_NO_THROW(check_secret("secret"));
    EXPECT_NO_THROW(check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    EXPECT_THROW(check_secret(""), Invalid);
    EXPECT_THROW(check_secret("whsec_"), Invalid);
    EXPECT_THROW(check_secret("whsec_not base64!"), Invalid);
    EXPECT_THROW(check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"), Invalid);
    EXPECT_THROW(check_secret("a\nb"), Invalid);
    EXPECT_THROW(check_secret(std::string_view("a\0b", 3)), Invalid);
    EXPECT_THROW(check_secret(std::string(1025, 'x')), Invalid);
    EXPECT_NO_THROW(check_secret(std::string(1024, 'x')));
}

}  // namespace
}  // namespace whisperer::engine
