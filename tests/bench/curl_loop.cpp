// The baseline of the benchmark: as many POSTs as libcurl's multi interface makes of one body, with
// the headers of a delivery, from one process and one thread, keeping so many in flight.  No queue,
// no signature, no bookkeeping.
//
//   curl_loop [--ca FILE] [--rate N] URL REQUESTS IN_FLIGHT BODY_FILE
//
//   --ca    whom an https URL may be signed by; it speaks HTTP/2 then
//   --rate  so many requests a second, evenly, with at most IN_FLIGHT of them in flight; the
//           webhook-id of each is when it was due, in microseconds since 1970
//
// Prints requests per second.
#include <curl/curl.h>
#include <getopt.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

struct Options {
    const char* url = nullptr;
    const char* ca_file = nullptr;
    long requests = 0;
    long in_flight = 0;
    long rate = 0;  // 0: as fast as it goes
    std::string body;
};

struct Request {
    CURL* easy;
    curl_slist* headers;
};

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "curl_loop: %s\n", what.c_str());
    std::exit(1);
}

Options read_options(int argc, char** argv) {
    Options options;
    const option names[] = {{"ca", required_argument, nullptr, 'c'},
                            {"rate", required_argument, nullptr, 'r'},
                            {nullptr, 0, nullptr, 0}};
    for (int name; (name = getopt_long(argc, argv, "", names, nullptr)) != -1;) {
        if (name == 'c')
            options.ca_file = optarg;
        else if (name == 'r')
            options.rate = std::strtol(optarg, nullptr, 10);
        else
            std::exit(2);
    }
    if (argc - optind != 4)
        fail("usage: curl_loop [--ca FILE] [--rate N] URL REQUESTS IN_FLIGHT BODY_FILE");
    options.url = argv[optind];
    options.requests = std::strtol(argv[optind + 1], nullptr, 10);
    options.in_flight = std::min(options.requests, std::strtol(argv[optind + 2], nullptr, 10));
    std::ifstream file(argv[optind + 3]);
    options.body.assign(std::istreambuf_iterator<char>(file), {});
    return options;
}

std::size_t discard(char*, std::size_t size, std::size_t count, void*) {
    return size * count;
}

curl_slist* delivery_headers(const std::string& id) {
    curl_slist* headers = curl_slist_append(nullptr, ("webhook-id: " + id).c_str());
    for (const char* line :
         {"Content-Type: application/json", "User-Agent: whisperer/1.1 (PostgreSQL)",
          "Expect:", "X-Whisperer-Event: bench",
          "X-Whisperer-Signature: sha256="
          "0000000000000000000000000000000000000000000000000000000000000000",
          "webhook-timestamp: 1700000000",
          "webhook-signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
        headers = curl_slist_append(headers, line);
    return headers;
}

void set_headers(Request& request, const std::string& id) {
    curl_slist* headers = delivery_headers(id);
    curl_easy_setopt(request.easy, CURLOPT_HTTPHEADER, headers);
    curl_slist_free_all(request.headers);
    request.headers = headers;
}

Request make_request(const Options& options) {
    Request request{curl_easy_init(), nullptr};
    CURL* easy = request.easy;
    curl_easy_setopt(easy, CURLOPT_URL, options.url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, options.body.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(options.body.size()));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    if (options.ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file);
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    }
    set_headers(request, "01930000000070008000000000000000");
    return request;
}

class Loop {
  public:
    explicit Loop(const Options& options) : options_(options), to_start_(options.requests) {
        requests_.reserve(static_cast<std::size_t>(options.in_flight));
        for (long i = 0; i < options.in_flight; ++i) {
            requests_.push_back(make_request(options));
            curl_easy_setopt(requests_.back().easy, CURLOPT_PRIVATE, &requests_.back());
            idle_.push_back(&requests_.back());
        }
    }
    ~Loop() {
        for (Request& request : requests_) {
            curl_easy_cleanup(request.easy);
            curl_slist_free_all(request.headers);
        }
        curl_multi_cleanup(multi_);
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    void run() {
        due_ = system_clock::now();
        for (long to_end = options_.requests; to_end > 0;) {
            start();
            int running = 0;
            curl_multi_perform(multi_, &running);
            to_end -= end();
            if (to_end > 0 && !can_start())
                curl_multi_poll(multi_, nullptr, 0, wait_ms(), nullptr);
        }
    }

  private:
    bool can_start() const {
        return to_start_ > 0 && !idle_.empty() &&
               (options_.rate == 0 || system_clock::now() >= due_);
    }

    // Until the next request is due; a poll knows no less than a millisecond.
    int wait_ms() const {
        if (options_.rate == 0 || to_start_ == 0 || idle_.empty())
            return 1000;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_ - system_clock::now());
        return static_cast<int>(std::clamp<long>(left.count(), 0, 1000));
    }

    void start() {
        while (can_start()) {
            Request* request = idle_.back();
            idle_.pop_back();
            --to_start_;
            if (options_.rate > 0) {
                const auto at = std::chrono::floor<microseconds>(due_.time_since_epoch());
                set_headers(*request, std::to_string(at.count()));
                due_ += microseconds(1'000'000 / options_.rate);
            }
            curl_multi_add_handle(multi_, request->easy);
        }
    }

    // How many have ended.
    long end() {
        long ended = 0;
        int left = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
            CURL* easy = message->easy_handle;
            if (message->data.result != CURLE_OK)
                fail(curl_easy_strerror(message->data.result));
            long status = 0;
            curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
            if (status / 100 != 2)
                fail("HTTP status " + std::to_string(status));
            Request* request = nullptr;
            curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
            curl_multi_remove_handle(multi_, easy);
            idle_.push_back(request);
            ++ended;
        }
        return ended;
    }

    const Options& options_;
    CURLM* multi_ = curl_multi_init();
    std::vector<Request> requests_;
    std::vector<Request*> idle_;
    long to_start_;
    system_clock::time_point due_;
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = read_options(argc, argv);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    {
        const auto begun = std::chrono::steady_clock::now();
        Loop loop(options);
        loop.run();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        std::printf("%.0f\n", static_cast<double>(options.requests) / took.count());
    }
    curl_global_cleanup();
}
