// What config.auth may say: through the door, which names the key that is wrong, and what it makes
// of what is right.
#include "worker/rules/auth.h"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tests/unit/engine_driver.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

std::string auth_error(const std::string& auth, const std::string& headers = "{}",
                       bool require_https = false) {
    WhispererError error{};
    const auto code =
        whisperer_check_auth(span_of(auth), span_of(headers), require_https ? 1 : 0, &error);
    EXPECT_EQ(code == WhispererOk, error.message[0] == '\0');
    EXPECT_THAT(error.message, Not(HasSubstr("S3CRET")));
    EXPECT_THAT(error.hint, Not(HasSubstr("S3CRET")));
    return error.message;
}

// A key of its own and a certificate that it signed.
struct MadeIdentity {
    std::string certificate;
    std::string key;
    std::string locked_key;
};

std::string text_of(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
}

MadeIdentity make_identity() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    MadeIdentity made;
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, certificate);
    made.certificate = text_of(out);
    out = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    made.key = text_of(out);
    out = BIO_new(BIO_s_mem());
    unsigned char passphrase[] = "S3CRET";
    PEM_write_bio_PrivateKey(out, key, EVP_aes_256_cbc(), passphrase, 6, nullptr, nullptr);
    made.locked_key = text_of(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made;
}

std::string json_text(const std::string& text) {
    std::string json = "\"";
    for (char c : text)
        json += c == '\n' ? std::string("\\n") : std::string(1, c);
    return json + '"';
}

std::string identity_json(const std::string& certificate, const std::string& key) {
    return R"({"client_certificate":)" + json_text(certificate) + R"(,"client_key":)" +
           json_text(key) + "}";
}

TEST(Auth, NullIsAsIfAbsent) {
    const Auth auth = Auth::parse(
        R"({"type":"oauth2","token_url":"http://a/t","client_id":"a","client_secret":"b",
            "scope":null,"audience":null,"client_certificate":null,"client_key":null})",
        "whisperer/1.0", false);
    EXPECT_EQ(auth.token_body(), "grant_type=client_credentials");
    EXPECT_EQ(auth.identity(), nullptr);
    EXPECT_THROW(Auth::parse(R"({"type":null,"client_certificate":null})", "", false), Invalid);
    EXPECT_THROW(Auth::parse(R"({"type":"bearer","token":null})", "", false), Invalid);
}

TEST(Auth, GoodOnes) {
    for (const char* auth :
         {"", "null", R"({"type":"basic","username":"u","password":""})",
          R"({"type":"bearer","token":"S3CRET"})",
          R"({"type":"token","url":"https://example.com/login","username":"u","password":"p"})",
          R"({"type":"token","url":"http://example.com/","username":"","password":"p",
              "username_field":"a","password_field":"b","token_key":"data.token",
              "header_format":"JWT {token}"})",
          R"({"auth_type":"basic","username":"u","password":"p"})",
          R"({"auth_type":"token","url":"http://a/","username":"u","password":"p",
              "username_field":"a","password_field":"b","token_key":"k","header_format":"JWT {}"})",
          R"({"type":"oauth2","token_url":"http://a/t","client_id":"a","client_secret":"b"})",
          R"({"type":"oauth2","token_url":"http://a/t","client_id":"a","client_secret":"b",
              "scope":"x y","audience":"z"})"})
        EXPECT_EQ(auth_error(auth), "") << auth;
}

TEST(Auth, BadOnesNameTheKey) {
    const std::pair<const char*, const char*> cases[] = {
        {"[]", "not a JSON object"},
        {"{", "not JSON"},
        {"{}", "lacks the key \"type\""},
        {R"({"type":""})", "lacks the key \"type\""},
        {R"({"type":1})", "\"type\" is not a string"},
        {R"({"type":"digest"})", "\"type\" is not one of"},
        {R"({"auth_type":"bearer","token":"t"})", "\"auth_type\" is not one of basic, token"},
        {R"({"auth_type":"","username":"u","password":"p"})", "\"auth_type\" is not one of"},
        {R"({"auth_type":"basic","type":"basic","username":"u","password":"p"})",
         "\"auth_type\" stands beside \"type\""},
        {R"({"type":"basic","username":"u"})", "lacks the key \"password\""},
        {R"({"type":"basic","username":"u:v","password":"S3CRET"})",
         "\"username\" contains a colon"},
        {R"({"type":"basic","username":"u","password":7})", "\"password\" is not a string"},
        {R"({"type":"basic","username":"u","password":"S3CRET\r\nX: y"})",
         "\"password\" contains a control"},
        {R"({"type":"basic","username":"u","password":"S3CRET","token":"S3CRET"})",
         "unknown key \"token\""},
        {R"({"type":"bearer","token":""})", "\"token\" is empty"},
        {R"({"type":"bearer","token":"S3CRET\u007f"})", "\"token\" contains a control"},
        {R"({"type":"token","url":"ftp://example.com","username":"u","password":"S3CRET"})",
         "\"url\" is"},
        {R"({"type":"token","url":"http://u:S3CRET@example.com/","username":"u","password":"p"})",
         "\"url\" is"},
        {R"({"type":"token","url":"http://a/","username":"u","password":"p","token_key":"a..b"})",
         "\"token_key\" is not"},
        {R"({"type":"token","url":"http://a/","username":"u","password":"p","header_format":"x"})",
         "\"header_format\" does not contain {token}"},
        {R"({"type":"token","url":"http://a/","username":"u","password":"p","username_field":"x",
             "password_field":"x"})",
         "\"password_field\" is the same"},
        {R"({"type":"oauth2","token_url":"http://a/","client_id":"","client_secret":"S3CRET"})",
         "\"client_id\" is empty"},
        {R"({"type":"oauth2","token_url":"http://a/","client_id":"a","client_secret":"b",
             "scope":[]})",
         "\"scope\" is not a string"},
    };
    for (const auto& [auth, error] : cases)
        EXPECT_THAT(auth_error(auth), HasSubstr(error)) << auth;
    EXPECT_THAT(auth_error(R"({"type":"bearer","token":")" + std::string(8193, 'x') + "\"}"),
                HasSubstr("\"token\" is longer than 8192"));
    EXPECT_THAT(auth_error(R"({"type":"bearer","token":")" + std::string(70000, 'x') + "\"}"),
                HasSubstr("65536"));
    EXPECT_THAT(auth_error(R"({"type":"token","url":"http://a/","username":"u","password":"p"})",
                           "{}", true),
                HasSubstr("https"));
}

TEST(Auth, OneAuthorizationHeaderOnly) {
    const std::string headers = R"({"authorization":"S3CRET"})";
    EXPECT_THAT(auth_error(R"({"type":"bearer","token":"x"})", headers),
                HasSubstr("\"Authorization\""));
    EXPECT_THAT(auth_error(R"({"type":"oauth2","token_url":"http://a/","client_id":"a",
                               "client_secret":"b"})",
                           headers),
                HasSubstr("\"Authorization\""));
    const MadeIdentity made = make_identity();
    EXPECT_EQ(auth_error(identity_json(made.certificate, made.key), headers), "");
}

TEST(Auth, ACertificateNeedsItsKey) {
    const MadeIdentity one = make_identity();
    const MadeIdentity other = make_identity();
    EXPECT_EQ(auth_error(identity_json(one.certificate, one.key)), "");
    EXPECT_EQ(auth_error(identity_json(one.certificate + other.certificate, one.key)), "")
        << "a chain";
    EXPECT_THAT(auth_error(identity_json(one.certificate, other.key)),
                HasSubstr("\"client_key\" does not belong"));
    EXPECT_THAT(auth_error(identity_json(one.certificate, one.locked_key)),
                HasSubstr("\"client_key\" has a passphrase"));
    EXPECT_THAT(auth_error(identity_json("x", one.key)),
                HasSubstr("\"client_certificate\" is not"));
    EXPECT_THAT(auth_error(identity_json(one.certificate, "x")),
                HasSubstr("\"client_key\" is not"));
    EXPECT_THAT(auth_error(identity_json(one.certificate + "\\u0001", one.key)),
                HasSubstr("\"client_certificate\" contains a control"));
    EXPECT_THAT(auth_error(R"({"client_certificate":"x"})"),
                HasSubstr("lacks the key \"client_key\""));
    EXPECT_THAT(auth_error(R"({"type":"bearer","token":"x","client_key":"x"})"),
                HasSubstr("lacks the key \"client_certificate\""));
}

TEST(Auth, WhatIsSent) {
    EXPECT_EQ(
        Auth::parse(R"({"type":"basic","username":"Aladdin","password":"open sesame"})", "", false)
            .constant_line(),
        "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    const Auth oauth2 = Auth::parse(
        R"({"type":"oauth2","token_url":"https://example.com/t","client_id":"a b",
            "client_secret":"c:d&é","scope":"x y","audience":"https://z/"})",
        "whisperer/1.0", false);
    EXPECT_EQ(oauth2.constant_line(), "");
    EXPECT_EQ(oauth2.token_body(),
              "grant_type=client_credentials&scope=x+y&audience=https%3A%2F%2Fz%2F");
    // a+b:c%3Ad%26%C3%A9
    // "Expect:" turns off the pause that libcurl makes before a large body.
    EXPECT_THAT(
        oauth2.token_headers(),
        UnorderedElementsAre("Authorization: Basic YStiOmMlM0FkJTI2JUMzJUE5",
                             "Content-Type: application/x-www-form-urlencoded",
                             "Accept: application/json", "Expect:", "User-Agent: whisperer/1.0"));
    const Auth token = Auth::parse(
        R"({"type":"token","url":"https://example.com/t","username":"u\"","password":"p",
            "header_format":"X {token} {token}"})",
        "", false);
    EXPECT_EQ(token.token_body(), R"({"password":"p","username":"u\""})");
    EXPECT_THAT(token.token_headers(),
                UnorderedElementsAre("Content-Type: application/json", "Accept: application/json",
                                     "Expect:", "User-Agent: "));
    EXPECT_EQ(token.read_token(R"({"token":"abc","expires_in":5})").line,
              "Authorization: X abc abc");
    EXPECT_EQ(token.read_token(R"({"token":"abc","expires_in":5})").lifetime, std::nullopt);
}

TEST(Auth, AuthTypeMeansWhatDjWhispererDid) {
    const Auth token = Auth::parse(
        R"({"auth_type":"token","url":"https://example.com/t","username":"u&","password":"p q"})",
        "", false);
    EXPECT_EQ(token.token_body(), "username=u%26&password=p+q");
    EXPECT_THAT(token.token_headers(), Contains("Content-Type: application/x-www-form-urlencoded"));
    EXPECT_EQ(token.read_token(R"({"key":"abc"})").line, "Authorization: Token abc");
    const Auth formatted = Auth::parse(
        R"({"auth_type":"token","url":"https://example.com/t","username":"u","password":"p",
            "header_format":"JWT {}{token}.","token_key":"k"})",
        "", false);
    EXPECT_EQ(formatted.read_token(R"({"k":"{}"})").line, "Authorization: JWT {}{}.");
    const Auth ours = Auth::parse(
        R"({"type":"token","url":"https://example.com/t","username":"u","password":"p",
            "header_format":"JWT {token} {}"})",
        "", false);
    EXPECT_EQ(ours.read_token(R"({"token":"abc"})").line, "Authorization: JWT abc {}");
    EXPECT_EQ(Auth::parse(R"({"auth_type":"basic","username":"u","password":"p"})", "", false)
                  .constant_line(),
              "Authorization: Basic dTpw");
}

TEST(Auth, ATokenHasABound) {
    const Auth oauth2 = Auth::parse(
        R"({"type":"oauth2","token_url":"http://a/","client_id":"a","client_secret":"b"})", "",
        false);
    const auto answer = [](std::size_t bytes) {
        return R"({"access_token":")" + std::string(bytes, 'x') + "\"}";
    };
    EXPECT_EQ(oauth2.read_token(answer(8192)).error, "");
    EXPECT_THAT(oauth2.read_token(answer(8193)).error, HasSubstr("longer than 8192"));
    EXPECT_EQ(oauth2.read_token(answer(8193)).line, "");
    EXPECT_THAT(oauth2.read_token(answer(0)).error, HasSubstr("no text \"access_token\""));
}

TEST(Auth, ExpiresIn) {
    const Auth oauth2 = Auth::parse(
        R"({"type":"oauth2","token_url":"http://a/","client_id":"a","client_secret":"b"})", "",
        false);
    const auto lifetime = [&](const std::string& value) {
        return oauth2.read_token(R"({"access_token":"x","expires_in":)" + value + "}").lifetime;
    };
    EXPECT_EQ(lifetime("3600"), seconds(3600));
    EXPECT_EQ(lifetime("3599.9"), seconds(3599));
    EXPECT_EQ(lifetime("\"60\""), seconds(60));
    EXPECT_EQ(lifetime("0"), seconds(0));
    EXPECT_EQ(lifetime("1e300"), token_lifetime_max);
    for (const char* odd : {"-1", "null", "\"\"", "\"soon\"", "[60]", "\"nan\"", "\"60 s\""})
        EXPECT_EQ(lifetime(odd), std::nullopt) << odd;
}

}  // namespace
}  // namespace whisperer::engine
