// What libcurl's handles carry from one request to the next, how many are kept, and with which
// signals its threads run.
//
// Calls into libraries that nothing else shows are watched here, on their way: those that make and
// free a handle; names.cpp watches the one by which libcurl's threads look names up.
#include <curl/curl.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>

#include "tests/unit/dispatcher_fixture.h"
#include "tests/unit/engine_driver.h"
#include "tests/unit/names.h"
#include "worker/wire/curl_transport.h"

namespace {

std::atomic<int> handles_alive{0};
std::atomic<int> handles_made{0};
std::atomic<bool> shares_fail{false};

template <typename Function>
Function next_of(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define WATCHED __attribute__((visibility("default")))

extern "C" WATCHED CURL* curl_easy_init() {
    ++handles_alive;
    ++handles_made;
    return next_of<CURL* (*)()>("curl_easy_init")();
}

extern "C" WATCHED void curl_easy_cleanup(CURL* easy) {
    --handles_alive;
    next_of<void (*)(CURL*)>("curl_easy_cleanup")(easy);
}

extern "C" WATCHED CURLSH* curl_share_init() {
    return shares_fail ? nullptr : next_of<CURLSH* (*)()>("curl_share_init")();
}

namespace whisperer::engine {
namespace {

class HandleTest : public testing::Test {
  protected:
    void SetUp() override {
        WhispererSettings settings = small_settings();
        settings.allowed_networks = span("127.0.0.0/8");
        curl_global_init(CURL_GLOBAL_DEFAULT);
        transport = std::make_unique<CurlTransport>(clock, 1000);
        transport->configure(std::make_shared<const Settings>(settings));
    }
    void TearDown() override {
        transport.reset();
        curl_global_cleanup();
    }

    void start(WireLane& lane, void* cookie, const std::string& url) {
        WireRequest request;
        request.cookie = cookie;
        request.target = std::make_shared<const Target>(parse_url(url, false));
        request.hook_headers = std::make_shared<const HeaderLines>();
        request.body = std::make_shared<const std::string>("{}");
        transport->start(lane, std::move(request));
    }

    // So many requests at once, none of which gets anywhere.
    void start_and_cancel(WireLane& lane, int count) {
        std::vector<char> cookies(static_cast<std::size_t>(count));
        for (char& cookie : cookies)
            start(lane, &cookie, "http://127.0.0.1:9/");
        for (char& cookie : cookies)
            transport->cancel(lane, &cookie);
    }

    // Moves it by the function until the only request has failed.
    template <typename Move>
    WireResult fail(const std::string& url, Move move) {
        const auto lane = transport->open_lane();
        char cookie = 0;
        start(*lane, &cookie, url);
        std::vector<WireResult> results;
        const auto end = std::chrono::steady_clock::now() + seconds(20);
        while (results.empty() && std::chrono::steady_clock::now() < end) {
            move();
            transport->take_results(results);
            pollfd fd{transport->fd(), POLLIN, 0};
            poll(&fd, 1, 5);
        }
        EXPECT_EQ(results.size(), 1U);
        return results.empty() ? WireResult() : results[0];
    }

    SystemClock clock;
    std::unique_ptr<CurlTransport> transport;
};

// The process that had no memory ends in order, with the lane as it is.
TEST_F(HandleTest, ThatCouldNotBeginHasNothingToEnd) {
    auto lane = transport->open_lane();
    char cookie = 0;
    shares_fail = true;
    EXPECT_THROW(start(*lane, &cookie, "http://127.0.0.1:9/"), std::bad_alloc);
    shares_fail = false;
    lane.reset();
    EXPECT_EQ(transport->lookups(), 0);
}

TEST_F(HandleTest, KeepsAtMost1024AndOnePerLane) {
    auto one = transport->open_lane();
    start_and_cancel(*one, 1);
    // The pool of connections that they share has some of its own.
    const int before = handles_alive - 1;
    start_and_cancel(*one, 1100);
    EXPECT_EQ(handles_alive - before, 1024);
    const auto other = transport->open_lane();
    start_and_cancel(*other, 3);
    EXPECT_EQ(handles_alive - before, 1025) << "a lane always has one for its next request";
    start_and_cancel(*one, 1024);
    EXPECT_EQ(handles_alive - before, 1024) << "the bound is that of all lanes together";
    one.reset();
    EXPECT_EQ(handles_alive - before, 1);
    start_and_cancel(*other, 3);
    EXPECT_EQ(handles_alive - before, 3) << "there is room again";
}

TEST_F(HandleTest, ThreadsThatLookUpNamesTakeNoSignals) {
    sigset_t before_all;
    sigset_t mine;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mine, &before_all);
    const int before = Names::look_ups;
    Names::signals_open = false;
    EXPECT_FALSE(fail("http://nothing.invalid/", [&] { transport->step(); }).resolved);
    EXPECT_FALSE(Names::signals_open) << "begun by step()";
    // The first push begins the look-up; what follows is for step() to see.
    Names::signals_open = false;
    // Another name: new versions of libcurl remember that the first was not found.
    fail("http://nothing-either.invalid/", [&] {
        transport->push_started();
        transport->step();
    });
    EXPECT_FALSE(Names::signals_open) << "begun by push_started()";
    EXPECT_EQ(Names::look_ups - before, 2);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, &before_all, &now);
    for (int signal = 1; signal < SIGRTMIN; ++signal)
        EXPECT_EQ(sigismember(&now, signal), sigismember(&mine, signal)) << signal;
}

// Or a request would wait for the next turn before it begins.
TEST_F(HandleTest, WhatWasStartedGoesOutAsItIsPushed) {
    const auto lane = transport->open_lane();
    char cookie = 0;
    const int before = Names::look_ups;
    start(*lane, &cookie, "http://nothing.invalid/");
    EXPECT_EQ(transport->lookups(), 1);
    transport->push_started();
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (Names::look_ups == before && std::chrono::steady_clock::now() < end)
        poll(nullptr, 0, 1);
    EXPECT_EQ(Names::look_ups - before, 1);
}

// What the guard against outages of name servers is told.
TEST_F(HandleTest, SaysWhetherANameWasLookedUp) {
    std::string port;
    {
        const HttpServer closed;
        port = std::to_string(closed.port());
    }
    const auto result_of = [&](const std::string& host) {
        return fail("http://" + host + ":" + port + "/", [&] { transport->step(); });
    };
    const WireResult found = result_of("localhost");
    EXPECT_TRUE(found.looked_up && found.resolved) << found.error;
    const WireResult not_found = result_of("nothing.invalid");
    EXPECT_TRUE(not_found.looked_up && !not_found.resolved) << not_found.error;
    const WireResult address = result_of("127.0.0.1");
    EXPECT_TRUE(!address.looked_up && address.resolved) << address.error;
    EXPECT_EQ(transport->lookups(), 0);
}

// Somebody who started us may have closed standard input.
TEST(EpollSet, MayBeTheFirstDescriptor) {
    const int kept = dup(STDIN_FILENO);
    close(STDIN_FILENO);
    {
        const EpollSet set;
        EXPECT_EQ(set.fd(), STDIN_FILENO);
    }
    EXPECT_EQ(fcntl(STDIN_FILENO, F_GETFD), -1) << "it is closed again";
    if (kept >= 0) {
        dup2(kept, STDIN_FILENO);
        close(kept);
    }
}

// No socket can be made as long as this lives.
class NoDescriptors {
  public:
    NoDescriptors() {
        getrlimit(RLIMIT_NOFILE, &before_);
        const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(next);
        const rlimit none{static_cast<rlim_t>(next), before_.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
    }
    ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
    NoDescriptors(const NoDescriptors&) = delete;
    NoDescriptors& operator=(const NoDescriptors&) = delete;

  private:
    rlimit before_{};
};

TEST(Handle, WhatWasOurFaultOnceIsNotHeldAgainstTheNext) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "the check of virtual calls needs a descriptor itself, and reports without";
#endif
    std::string url;
    {
        HttpServer closed;
        url = closed.url();
    }
    EngineDriver driver;
    driver.create();
    ASSERT_EQ(driver.put_hook(1, url), WhispererOk);
    {
        const NoDescriptors none;
        ASSERT_EQ(driver.submit(1, 1), WhispererOk);
        ASSERT_TRUE(driver.run_for(nullptr, 1));
    }
    EXPECT_EQ(driver.got[0].kind, WhispererReturned);
    EXPECT_FALSE(driver.got[0].attempted);
    EXPECT_EQ(driver.got[0].error, "could not make a socket: too many open files");
    // The same handle, and now it is the endpoint's fault.
    ASSERT_EQ(driver.submit(2, 1), WhispererOk);
    ASSERT_TRUE(driver.run_for(nullptr, 2));
    EXPECT_EQ(driver.got[1].kind, WhispererRetry);
    EXPECT_TRUE(driver.got[1].attempted);
    EXPECT_EQ(driver.got[1].error, "could not connect: connection refused");
}

TEST(Handle, IsUsedAgain) {
    HttpServer server;
    EngineDriver driver;
    driver.create();
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    ASSERT_EQ(driver.submit(1, 1), WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, 1));
    const int made = handles_made;
    for (std::size_t event = 2; event <= 4; ++event) {
        ASSERT_EQ(driver.submit(static_cast<int>(event), 1), WhispererOk);
        ASSERT_TRUE(driver.run_for(&server, event));
    }
    EXPECT_EQ(handles_made - made, 0);
}

// A limit of whole seconds is said in seconds.
TEST(Handle, SaysALimitInTheUnitThatItWasSetIn) {
    HttpServer server([](const HttpRequest&) {
        HttpReply reply;
        reply.hang = true;
        return reply;
    });
    EngineDriver driver;
    driver.settings.request_timeout_ms = 1000;
    driver.settings.park_after_ms = 5000;
    driver.create();
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    ASSERT_EQ(driver.submit(1, 1), WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, 1));
    EXPECT_EQ(driver.got[0].error, "no response within 1 s");
}

}  // namespace
}  // namespace whisperer::engine
