// The engine as a client of a receiver, without a database: submits events and prints what is said
// of each.
//
//   client --count N [--bytes N] [--in-flight N] [--timeout-ms N] [--ca FILE] URL ...
//
// Each URL is a hook; five owners have every fifth.  The events go to the hooks in turn, none is
// tried twice.  A line for each outcome: webhook-id, hook, kind, when the attempt
// began in microseconds, status, error, and the first bytes of the answer, separated by tabs; the
// last line has the counts.
#include <getopt.h>
#include <poll.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "worker/engine.h"

namespace {

constexpr std::int64_t owners = 5;

struct Options {
    std::uint64_t count = 100;
    std::size_t bytes = 10;
    int in_flight = 64;
    int timeout_ms = 2000;
    std::string ca;
    std::vector<std::string> urls;
};

WhispererSpan span_of(const std::string& text) {
    return {text.data(), text.size()};
}

Options read_options(int argc, char** argv) {
    Options options;
    const option known[] = {{"count", required_argument, nullptr, 'n'},
                            {"bytes", required_argument, nullptr, 'b'},
                            {"in-flight", required_argument, nullptr, 'i'},
                            {"timeout-ms", required_argument, nullptr, 't'},
                            {"ca", required_argument, nullptr, 'c'},
                            {}};
    for (int c; (c = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        switch (c) {
            case 'n':
                options.count = std::strtoull(optarg, nullptr, 10);
                break;
            case 'b':
                options.bytes = std::strtoull(optarg, nullptr, 10);
                break;
            case 'i':
                options.in_flight = std::atoi(optarg);
                break;
            case 't':
                options.timeout_ms = std::atoi(optarg);
                break;
            case 'c':
                options.ca = optarg;
                break;
            default:
                std::exit(2);
        }
    }
    options.urls.assign(argv + optind, argv + argc);
    return options;
}

void must(bool holds, const WhispererError& error) {
    if (holds)
        return;
    std::fprintf(stderr, "client: %s\n", error.message);
    std::exit(1);
}

class Client {
  public:
    explicit Client(Options options) : options_(std::move(options)) {
        WhispererSettings settings{};
        settings.max_in_flight = settings.max_in_flight_per_hook = options_.in_flight;
        settings.park_after_ms = settings.request_timeout_ms = options_.timeout_ms;
        settings.connect_timeout_ms = options_.timeout_ms;
        settings.queued_bytes_max = 64 << 20;
        settings.failure_response_bytes_max = settings.success_response_bytes_max = 1024;
        settings.allowed_networks = {"127.0.0.0/8", 11};
        settings.ca_file = span_of(options_.ca);
        settings.version = {"0", 1};
        WhispererError error{};
        engine_ = whisperer_engine_create(&settings, &error);
        must(engine_ != nullptr, error);
        const std::string once =
            R"({"choice":"fixed","kwargs":{"seconds":0},"max_retries":0,"jitter":0})";
        for (std::size_t i = 0; i < options_.urls.size(); ++i) {
            WhispererHook hook{};
            hook.id = static_cast<std::int64_t>(i) + 1;
            hook.owner = hook.id % owners;
            hook.target_url = span_of(options_.urls[i]);
            hook.retry_config = span_of(once);
            must(whisperer_engine_put_hook(engine_, &hook, &error) == WhispererOk, error);
        }
    }
    ~Client() { whisperer_engine_destroy(engine_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void run() {
        const std::string data = "\"" + std::string(options_.bytes, 'f') + "\"";
        WhispererError error{};
        while (ended_ < options_.count) {
            // A lane that fails hands back what it has queued beyond 16.
            const std::uint64_t in_hand_max = 12 * options_.urls.size();
            for (; submitted_ < options_.count && submitted_ - ended_ < in_hand_max; ++submitted_)
                submit(submitted_, data);
            must(whisperer_engine_pump(engine_, &error) == WhispererOk, error);
            collect();
            if (!returned_.empty()) {
                submit(returned_.front(), data);
                returned_.pop_front();
            }
            const std::int64_t wait_ms = whisperer_engine_wait_ms(engine_);
            pollfd fd{whisperer_engine_fd(engine_), POLLIN, 0};
            poll(&fd, 1,
                 static_cast<int>(wait_ms < 0 ? 100 : std::min<std::int64_t>(wait_ms, 100)));
        }
        WhispererCounts counts{};
        whisperer_engine_counts(engine_, &counts);
        std::printf("# %" PRId64 " connections, %" PRId64 " sent again\n", counts.connections_total,
                    counts.reposts_total);
    }

  private:
    void submit(std::uint64_t token, const std::string& data) {
        WhispererEvent event{};
        for (int i = 0; i < 8; ++i)
            event.id[15 - i] = static_cast<std::uint8_t>(token >> (8 * i));
        event.type = {"e", 1};
        event.data = span_of(data);
        const WhispererDelivery delivery{
            token, static_cast<std::int64_t>(token % options_.urls.size()) + 1, 0};
        WhispererError error{};
        must(whisperer_engine_submit(engine_, &event, &delivery, 1, &error) == WhispererOk, error);
    }

    void collect() {
        WhispererOutcome outcomes[64];
        for (std::size_t n; (n = whisperer_engine_outcomes(engine_, outcomes, 64)) > 0;)
            for (std::size_t i = 0; i < n; ++i)
                tell(outcomes[i]);
    }

    void tell(const WhispererOutcome& outcome) {
        if (outcome.kind == WhispererParked)
            return;
        if (outcome.kind == WhispererReturned) {
            std::printf("# %032" PRIx64 " returned: %.*s\n", outcome.token,
                        static_cast<int>(outcome.error.size), outcome.error.data);
            returned_.push_back(outcome.token);
            return;
        }
        ++ended_;
        std::string response(outcome.response.data, outcome.response.size);
        std::replace_if(
            response.begin(), response.end(),
            [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
        std::printf("%032" PRIx64 "\t%" PRId64 "\t%d\t%" PRId64 "\t%d\t%.*s\t%s\n", outcome.token,
                    outcome.hook_id, static_cast<int>(outcome.kind), outcome.started_at_us,
                    outcome.http_status, static_cast<int>(outcome.error.size), outcome.error.data,
                    response.c_str());
    }

    Options options_;
    WhispererEngine* engine_ = nullptr;
    std::deque<std::uint64_t> returned_;  // by the engine, unsent
    std::uint64_t submitted_ = 0;
    std::uint64_t ended_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    Client(read_options(argc, argv)).run();
}
