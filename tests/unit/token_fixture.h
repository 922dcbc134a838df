// A dispatcher whose hooks fetch tokens, and what answers them.
#pragma once
#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {
inline constexpr const char* oauth2 =
    R"({"type":"oauth2","token_url":"http://192.0.2.9/token","client_id":"me",
        "client_secret":"s3"})";
inline constexpr const char* token_auth =
    R"({"type":"token","url":"http://192.0.2.9/login","username":"u","password":"p",
        "token_key":"a.b"})";

class TokenTest : public DispatcherTest {
  protected:
    void put_fetching(std::int64_t id = 1, const char* auth = oauth2,
                      const char* url = "http://192.0.2.1/", double rate_limit = 0) {
        put(id, "", url, rate_limit, auth);
    }

    void submit_many(int count, std::uint64_t first = 1) {
        for (int i = 0; i < count; ++i)
            submit(1, first + static_cast<std::uint64_t>(i));
    }

    // Answers the fetch that is running.
    std::vector<Outcome> give_token(const std::string& name, const std::string& expires_in = "") {
        const std::string more = expires_in.empty() ? "" : ",\"expires_in\":" + expires_in;
        EXPECT_TRUE(wire.sent.back().hook.empty()) << "a token was asked for";
        wire.answer(200, milliseconds(1), R"({"access_token":")" + name + "\"" + more + "}");
        return pump();
    }

    // Goes on until all is answered: tokens t<n>, deliveries by the status.
    std::vector<Outcome> run(int status, const std::string& expires_in = "") {
        std::vector<Outcome> all = pump();
        while (!wire.running.empty()) {
            const auto request =
                std::find_if(wire.sent.rbegin(), wire.sent.rend(),
                             [&](const auto& one) { return one.cookie == wire.running.front(); });
            if (request->hook.empty())
                wire.answer(200, milliseconds(1),
                            R"({"access_token":"t)" + std::to_string(fetches()) + "\"" +
                                (expires_in.empty() ? "" : ",\"expires_in\":" + expires_in) + "}");
            else
                wire.answer(status);
            for (Outcome& outcome : pump())
                all.push_back(std::move(outcome));
        }
        return all;
    }

    std::size_t fetches() const {
        return static_cast<std::size_t>(std::count_if(
            wire.sent.begin(), wire.sent.end(), [](const auto& one) { return one.hook.empty(); }));
    }

    static int count(const std::vector<Outcome>& outcomes, WhispererOutcomeKind kind) {
        return static_cast<int>(
            std::count_if(outcomes.begin(), outcomes.end(),
                          [&](const Outcome& outcome) { return outcome.kind == kind; }));
    }
};

}  // namespace whisperer::engine
