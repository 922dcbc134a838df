// Signature headers of a hook's own: what their templates may say, and what comes out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/base/invalid.h"
#include "worker/rules/signature.h"
#include "worker/rules/signing.h"

namespace whisperer::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string refusal_of(std::string_view json) {
    try {
        Signing::parse(json);
        return {};
    } catch (const Invalid& invalid) {
        return invalid.what();
    }
}

TEST(Signing, EachFaultNamesItsKey) {
    EXPECT_FALSE(Signing::parse("").is_set());
    EXPECT_FALSE(Signing::parse("null").is_set());
    const Signing plain =
        Signing::parse(R"({"header":"X-Own","value":"{hex}","content":null,"overlap":null,)"
                       R"("algorithm":null,"time_header":null})");
    EXPECT_EQ(plain.digest + plain.before_body + plain.overlap + plain.time_header, "SHA256");
    EXPECT_THAT(refusal_of("[]"), HasSubstr("signing is not"));
    EXPECT_THAT(refusal_of("{"), HasSubstr("signing is not"));
    const std::pair<const char*, const char*> faults[] = {
        {"header", R"({"value": "{hex}"})"},
        {"header", R"({"header": "a b", "value": "{hex}"})"},
        {"header", R"({"header": "webhook-signature", "value": "{hex}"})"},
        {"header", R"({"header": "AUTHORIZATION", "value": "{hex}"})"},
        {"value", R"({"header": "X"})"},
        {"value", R"({"header": "X", "value": 1})"},
        {"value", R"({"header": "X", "value": ""})"},
        {"value", R"({"header": "X", "value": "sha256="})"},
        {"value", R"({"header": "X", "value": "{hex}{hex}"})"},
        {"value", R"({"header": "X", "value": "{hex}{body}"})"},
        {"value", R"({"header": "X", "value": "{hex}{"})"},
        {"value", R"({"header": "X", "value": "}{hex}"})"},
        {"value", R"({"header": "X", "value": "{hex}\r\nY: z"})"},
        {"overlap", R"({"header": "X", "value": "{hex}", "overlap": ","})"},
        {"content", R"({"header": "X", "value": "{hex}", "content": "{time}"})"},
        {"content", R"({"header": "X", "value": "{hex}", "content": "{body}{body}"})"},
        {"content", R"({"header": "X", "value": "{hex}", "content": "{body}{hex}"})"},
        {"algorithm", R"({"header": "X", "value": "{hex}", "algorithm": "md5"})"},
        {"time_header", R"({"header": "X", "value": "{hex}", "time_header": "x"})"},
        {"time_header", R"({"header": "X", "value": "{hex}", "time_header": "Host"})"},
    };
    for (const auto& [key, json] : faults)
        EXPECT_THAT(refusal_of(json), StartsWith("signing." + std::string(key))) << json;
    EXPECT_THAT(refusal_of(R"({"header": "X", "value": "{hex}", "colour": "red"})"),
                HasSubstr("\"colour\""));
    EXPECT_THAT(refusal_of(R"({"header": "X", "value": "{hex})" + std::string(300, 'x') + R"("})"),
                StartsWith("signing.value"));
}

HeaderLines lines_of(const char* signing, std::string_view previous = {}) {
    const Signer signer("Jefe", previous, {false, false, Signing::parse(signing)});
    HeaderLines lines;
    signer.add_lines(lines, "the-id", "1700000000", "what do ya want for nothing?");
    return lines;
}

// RFC 4231 and RFC 2202, case 2.
TEST(Signing, KnownVectors) {
    EXPECT_THAT(
        lines_of(R"({"header": "X", "value": "v={hex}"})"),
        ElementsAre("X: v=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
    EXPECT_THAT(lines_of(R"({"header": "X", "value": "{base64}", "algorithm": "sha1"})"),
                ElementsAre("X: 7/zfauXrL6LSdBbV8YTfnCWafHk="));
    EXPECT_THAT(lines_of(R"({"header": "X", "value": "{id}-{time}:{hex}", "algorithm": "sha512"})"),
                ElementsAre(StartsWith("X: the-id-1700000000:164b7a7bfcf819e2e395fbe73b56e0a3")));
}

TEST(Signing, TheTimeHasAHeader) {
    EXPECT_THAT(lines_of(R"({"header": "X", "value": "{hex}", "time_header": "X-Time"})"),
                ElementsAre(StartsWith("X: "), "X-Time: 1700000000"));
}

TEST(Signing, AnOverlapHasBothOrTheOldOne) {
    const char* one = R"({"header": "X", "value": "{hex}"})";
    const char* both = R"({"header": "X", "value": "{hex}", "overlap": ",{hex}"})";
    const std::string old = lines_of(one, "old").front();
    EXPECT_NE(old, lines_of(one).front());
    EXPECT_EQ(lines_of(both).front(), lines_of(one).front());
    EXPECT_EQ(lines_of(both, "old").front(), lines_of(one).front() + "," + old.substr(3));
}

TEST(Signing, ItsHeadersAreItsOwn) {
    const Signing signing =
        Signing::parse(R"({"header": "X-A", "value": "{hex}", "time_header": "X-B"})");
    for (const char* headers : {R"({"x-a": "1"})", R"({"X-B": "1"})"})
        EXPECT_THROW(signing.check_beside(parse_additional_headers(headers)), Invalid);
    EXPECT_NO_THROW(signing.check_beside(parse_additional_headers(R"({"X-C": "1"})")));
    EXPECT_NO_THROW(Signing().check_beside(parse_additional_headers(R"({"X-C": "1"})")));
}

}  // namespace
}  // namespace whisperer::engine
