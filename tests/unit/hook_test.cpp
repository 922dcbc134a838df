// When a hook that is put again is the same, so that nothing of it need be made anew.
#include "worker/rules/hook.h"

#include <gtest/gtest.h>

#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {
namespace {

WhispererHook some_hook() {
    WhispererHook hook{};
    hook.id = 1;
    hook.target_url = span("http://192.0.2.1/");
    hook.secret_key = span("a:");
    hook.previous_secret_key = span("b");
    hook.additional_headers = span(R"({"X-A":"1"})");
    hook.retry_config = span(R"({"choice":"fixed","kwargs":{"seconds":1}})");
    hook.auth = span(R"({"type":"bearer","token":"t"})");
    hook.rate_limit = 7;
    return hook;
}

TEST(Hook, IsTheSameWhenEveryPartIs) {
    const WhispererHook door = some_hook();
    const Hook hook(door, "whisperer/1.0", false);
    EXPECT_TRUE(hook.is_made_from(some_hook(), "whisperer/1.0"));
    EXPECT_FALSE(hook.is_made_from(door, "whisperer/1.1"));
    const std::pair<const char*, void (*)(WhispererHook&)> changes[] = {
        {"owner", [](WhispererHook& h) { h.owner = 7; }},
        {"id", [](WhispererHook& h) { h.id = 2; }},
        {"URL", [](WhispererHook& h) { h.target_url = span("http://192.0.2.2/"); }},
        {"secret", [](WhispererHook& h) { h.secret_key = span("a;"); }},
        {"previous secret", [](WhispererHook& h) { h.previous_secret_key = span("c"); }},
        {"headers", [](WhispererHook& h) { h.additional_headers = span(R"({"X-A":"2"})"); }},
        {"countdown", [](WhispererHook& h) { h.retry_config = span(""); }},
        {"auth", [](WhispererHook& h) { h.auth = span(""); }},
        {"gzip", [](WhispererHook& h) { h.gzip = 1; }},
        {"rate", [](WhispererHook& h) { h.rate_limit = 7.5; }},
        {"where one secret ends", [](WhispererHook& h) {
             h.secret_key = span("a");
             h.previous_secret_key = span(":b");
         }}};
    for (const auto& [what, change] : changes) {
        WhispererHook other = some_hook();
        change(other);
        EXPECT_FALSE(hook.is_made_from(other, "whisperer/1.0")) << what;
    }
}

}  // namespace
}  // namespace whisperer::engine
