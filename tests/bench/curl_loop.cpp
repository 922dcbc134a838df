// The baseline of the benchmark: as many POSTs as libcurl's multi interface makes of one body, with
// the headers of a delivery, from one process and one thread, keeping so many in flight.  No queue,
// no signature, no bookkeeping.
//
//   curl_loop URL REQUESTS IN_FLIGHT BODY_FILE      prints requests per second
#include <curl/curl.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

std::size_t discard(char*, std::size_t size, std::size_t count, void*) {
    return size * count;
}

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "curl_loop: %s\n", what.c_str());
    std::exit(1);
}

curl_slist* delivery_headers() {
    curl_slist* headers = nullptr;
    for (const char* line :
         {"Content-Type: application/json", "User-Agent: whisperer/1.1 (PostgreSQL)",
          "Expect:", "X-Whisperer-Event: bench",
          "X-Whisperer-Signature: sha256="
          "0000000000000000000000000000000000000000000000000000000000000000",
          "webhook-id: 01930000000070008000000000000000", "webhook-timestamp: 1700000000",
          "webhook-signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
        headers = curl_slist_append(headers, line);
    return headers;
}

CURL* make_request(const char* url, const std::string& body, curl_slist* headers) {
    CURL* easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    return easy;
}

// Ends every request that is done and starts it again while more are wanted.
void turn_over(CURLM* multi, long& to_start, long& to_end) {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
        if (message->data.result != CURLE_OK)
            fail(curl_easy_strerror(message->data.result));
        long status = 0;
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (status / 100 != 2)
            fail("HTTP status " + std::to_string(status));
        CURL* easy = message->easy_handle;
        curl_multi_remove_handle(multi, easy);
        --to_end;
        if (to_start-- > 0)
            curl_multi_add_handle(multi, easy);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5)
        fail("usage: curl_loop URL REQUESTS IN_FLIGHT BODY_FILE");
    const long requests = std::strtol(argv[2], nullptr, 10);
    const long in_flight = std::min(requests, std::strtol(argv[3], nullptr, 10));
    std::ifstream file(argv[4]);
    const std::string body{std::istreambuf_iterator<char>(file), {}};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM* multi = curl_multi_init();
    curl_slist* headers = delivery_headers();

    const auto begun = std::chrono::steady_clock::now();
    std::vector<CURL*> handles;
    for (long i = 0; i < in_flight; ++i) {
        handles.push_back(make_request(argv[1], body, headers));
        curl_multi_add_handle(multi, handles.back());
    }
    long to_start = requests - in_flight;
    for (long to_end = requests; to_end > 0;) {
        int running = 0;
        curl_multi_perform(multi, &running);
        turn_over(multi, to_start, to_end);
        if (to_end > 0)
            curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%.0f\n", static_cast<double>(requests) / took.count());

    for (CURL* easy : handles)
        curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    curl_global_cleanup();
}
