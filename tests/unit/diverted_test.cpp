// With divert_to everything goes to the sink, and no credentials with it.
#include "tests/unit/token_fixture.h"

namespace whisperer::engine {
namespace {

class DivertedTokenTest : public TokenTest {
  protected:
    void divert(const char* url) {
        WhispererSettings settings = small_settings();
        settings.divert_to = span(url);
        dispatcher.configure(std::make_shared<const Settings>(settings));
    }

    static bool mentions(const FakeWire::Sent& sent, const std::string& text) {
        for (const HeaderLines* lines : {&sent.headers, &sent.hook_headers})
            for (const std::string& line : *lines)
                if (line.find(text) != std::string::npos)
                    return true;
        return false;
    }
};

TEST_F(DivertedTokenTest, TheSinkSeesNoCredentials) {
    divert("http://192.0.2.7/sink");
    put_fetching(1);
    put(2, "", "http://192.0.2.1/", 0, R"({"type":"basic","username":"u","password":"p"})",
        R"({"X-Api-Key":"k3y"})");
    submit(1, 1);
    submit(2, 2);
    EXPECT_EQ(count(run(200), WhispererDelivered), 2);
    EXPECT_EQ(wire.sent.size(), 2U);
    for (const auto& sent : wire.sent) {
        EXPECT_EQ(sent.url, "http://192.0.2.7/sink");
        EXPECT_EQ(sent.authorization(), "");
        EXPECT_FALSE(mentions(sent, "k3y"));
        EXPECT_TRUE(mentions(sent, "webhook-id: "));
    }
    submit(1, 3);
    EXPECT_EQ(count(run(401), WhispererRetry), 1);
    EXPECT_EQ(wire.sent.size(), 3U) << "a sink that asks for a token gets none";
    divert("");
    submit(2, 4);
    run(200);
    EXPECT_EQ(wire.sent.back().authorization(), "Basic dTpw");
    EXPECT_TRUE(mentions(wire.sent.back(), "k3y"));
}

TEST_F(DivertedTokenTest, DivertingDuringTheFetch) {
    put_fetching();
    submit(1, 1);
    pump();
    divert("http://192.0.2.7/sink");
    give_token("t1");
    EXPECT_EQ(wire.sent.back().url, "http://192.0.2.7/sink");
    EXPECT_EQ(wire.sent.back().authorization(), "");
    divert("");
    wire.answer(401);
    EXPECT_EQ(count(pump(), WhispererRetry), 1) << "it was the sink's answer";
}

}  // namespace
}  // namespace whisperer::engine
