// Whatever a receiver sends becomes bounded, valid text.
#include <gtest/gtest.h>

#include "worker/base/clean_text.h"
#include "worker/rules/settings.h"
#include "worker/wire/response_capture.h"

namespace whisperer::engine {
namespace {

const std::string bad = "\xEF\xBF\xBD";

TEST(CleanText, KeepsWhatIsValid) {
    const std::string text = "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \n\t\x7f";
    EXPECT_EQ(to_clean_text(text, 100), text);
}

TEST(CleanText, ReplacesWhatIsNot) {
    EXPECT_EQ(to_clean_text(std::string_view("a\0b", 3), 100), "a" + bad + "b");
    EXPECT_EQ(to_clean_text("\x80x", 100), bad + "x");
    EXPECT_EQ(to_clean_text("\xC0\x80x", 100), bad + bad + "x") << "overlong";
    EXPECT_EQ(to_clean_text("\xE0\x80\x80x", 100), bad + bad + bad + "x") << "overlong";
    EXPECT_EQ(to_clean_text("\xED\xA0\x80x", 100), bad + bad + bad + "x") << "surrogate";
    EXPECT_EQ(to_clean_text("\xF5\x80x", 100), bad + bad + "x") << "beyond Unicode";
    EXPECT_EQ(to_clean_text("\xE2\x82x", 100), bad + "x") << "cut short by another";
}

// The first and the last of each length, and of each first byte that bounds the second; and what
// lies beyond them.
TEST(CleanText, KnowsTheBoundsOfEachSequence) {
    for (const char* text :
         {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xE0\xBF\xBF", "\xE1\x80\x80", "\xEC\xBF\xBF",
          "\xED\x80\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80",
          "\xF0\xBF\xBF\xBF", "\xF1\x80\x80\x80", "\xF3\xBF\xBF\xBF", "\xF4\x80\x80\x80",
          "\xF4\x8F\xBF\xBF", "\x01", "\x7f"})
        EXPECT_EQ(to_clean_text(text, 100), text);
    for (const char* text :
         {"\xC1\xBF", "\xC2\x7F", "\xDF\xC0", "\xE0\x9F\xBF", "\xE1\x7F\x80", "\xE1\x80\xC0",
          "\xEC\xC0\x80", "\xED\xA0\x80", "\xEF\xBF\xC0", "\xF0\x8F\xBF\xBF", "\xF1\x7F\x80\x80",
          "\xF1\x80\x80\xC0", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80"})
        EXPECT_TRUE(to_clean_text(text, 100).starts_with(bad)) << testing::PrintToString(text);
}

TEST(CleanText, StaysWithinItsLimitAndCutsNoCharacter) {
    EXPECT_EQ(to_clean_text("abcdef", 3), "abc");
    EXPECT_EQ(to_clean_text("ab\xC3\xA9", 3), "ab");
    EXPECT_EQ(to_clean_text("ab\xC3", 10), "ab") << "what the limit cut off is left out";
    EXPECT_LE(to_clean_text(std::string(1000, '\xFF'), 1000).size(), 1000U);
    EXPECT_EQ(to_clean_text("ab\xC3\xA9", 4), "ab\xC3\xA9");
    EXPECT_EQ(to_clean_text("a\xFF", 3), "a");
    EXPECT_EQ(to_clean_text("a\xFF", 4), "a" + bad);
    EXPECT_EQ(to_clean_line("a\r\nb\n", 10), "a  b");
    EXPECT_EQ(to_clean_line("\x1f !\x7e\x7f", 10), "  !~");
}

TEST(ResponseCapture, StopsReadingAtItsLimits) {
    ResponseCapture capture;
    capture.restart(10);
    EXPECT_TRUE(capture.add_body(std::string(response_body_bytes_max, 'x')));
    EXPECT_FALSE(capture.add_body("y"));
    EXPECT_EQ(capture.text(100), "xxxxxxxxxx");
    EXPECT_TRUE(capture.add_header_line(response_header_bytes_max));
    EXPECT_FALSE(capture.headers_too_long());
    EXPECT_FALSE(capture.add_header_line(1));
    EXPECT_TRUE(capture.headers_too_long());
    capture.restart(5);
    EXPECT_TRUE(capture.add_body("again"));
    EXPECT_EQ(capture.text(100), "again");
    EXPECT_FALSE(capture.headers_too_long());
    for (std::size_t i = 0; i < response_header_lines_max; ++i)
        EXPECT_TRUE(capture.add_header_line(3));
    EXPECT_FALSE(capture.headers_too_many());
    EXPECT_FALSE(capture.add_header_line(3));
    EXPECT_TRUE(capture.headers_too_many());
    capture.restart(5);
    EXPECT_TRUE(capture.add_header_line(3));
}

}  // namespace
}  // namespace whisperer::engine
