// A clock that stands still until it is told, and a wire that answers when it is told.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "worker/base/clock.h"
#include "worker/wire/lookup_room.h"
#include "worker/wire/wire.h"

namespace whisperer::engine {

class FakeClock final : public Clock {
  public:
    microseconds steady() const override { return now; }
    microseconds unix_time() const override { return now + std::chrono::hours(24 * 365 * 50); }
    double random() override { return 0.5; }

    microseconds now = seconds(1000);
};

class FakeWire final : public Wire {
  public:
    struct Lane final : WireLane {};
    struct Sent {
        void* cookie;
        std::string body;
        HeaderLines headers;
        std::string hook;  // what X-Whisperer-Hook says; empty: a token is asked for
        std::string url;
        HeaderLines hook_headers;
        bool has_identity;
        microseconds timeout;

        // What Authorization says; empty: nothing.
        std::string authorization() const {
            for (const HeaderLines* lines : {&headers, &hook_headers})
                for (const std::string& line : *lines)
                    if (line.starts_with("Authorization: "))
                        return line.substr(15);
            return {};
        }
    };

    void configure(std::shared_ptr<const Settings>) override {}
    std::unique_ptr<WireLane> open_lane() override { return std::make_unique<Lane>(); }
    void start(WireLane&, WireRequest request) override {
        std::string hook;
        for (const std::string& line : *request.hook_headers)
            if (line.starts_with("X-Whisperer-Hook: "))
                hook = line.substr(18);
        sent.push_back({request.cookie, *request.body, request.attempt_headers, hook,
                        request.target->url, *request.hook_headers, request.identity != nullptr,
                        request.timeout});
        if (request.target->url == refused_url) {
            results.push_back({});
            results.back().cookie = request.cookie;
            results.back().error = "refused";
        } else {
            running.push_back(request.cookie);
        }
    }
    void cancel(WireLane&, const void* cookie) override { std::erase(running, cookie); }
    void step() override {}
    void push_started() override {
        std::move(results_of_push.begin(), results_of_push.end(), std::back_inserter(results));
        results_of_push.clear();
    }
    void take_results(std::vector<WireResult>& taken) override {
        for (WireResult& result : results)
            taken.push_back(std::move(result));
        results.clear();
    }
    int lookups() const override { return lookups_now; }
    bool may_look_up(const std::string&) const override { return lookups_now < lookups_max; }
    microseconds next_step() const override { return microseconds::max(); }
    int fd() const override { return -1; }
    std::int64_t connections_total() const override { return 0; }

    // Ends the oldest running request: by a status, 0: could not connect, -1: connection lost.
    void answer(int status, microseconds elapsed = milliseconds(1),
                const std::string& response = "") {
        if (running.empty()) {
            ADD_FAILURE() << "no request is running";
            return;
        }
        WireResult result;
        result.cookie = running.front();
        result.end = status > 0 ? WireEnd::Answered : WireEnd::Failed;
        result.http_status = std::max(status, 0);
        result.resolved = true;
        result.connected = status != 0;
        result.elapsed = elapsed;
        result.response = response;
        running.erase(running.begin());
        results.push_back(std::move(result));
    }

    // Ends the oldest running request after a look-up of its host's name.
    void answer_lookup(bool found) {
        answer(found ? 200 : 0);
        results.back().looked_up = true;
        results.back().resolved = found;
        results.back().error = found ? "" : "could not resolve host";
    }

    // Ends everything that runs, by the status for its hook.
    template <typename StatusOf>
    void answer_all(StatusOf status_of) {
        while (!running.empty()) {
            const void* cookie = running.front();
            const auto request = std::find_if(
                sent.rbegin(), sent.rend(), [&](const Sent& one) { return one.cookie == cookie; });
            answer(status_of(request->hook));
        }
    }

    int lookups_now = 0;
    std::vector<Sent> sent;
    std::vector<void*> running;
    std::vector<WireResult> results;
    std::vector<WireResult> results_of_push;  // end while what was started is pushed out
    std::string refused_url;                  // requests to it end as they are started
};

}  // namespace whisperer::engine
