// Signatures against the published vectors of Standard Webhooks, and the rules of secrets.
#include "signature.h"

#include <gtest/gtest.h>

#include "invalid.h"

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

TEST(Signature, ChecksSecrets) {
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
