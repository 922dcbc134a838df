// A small HTTP/1.1 server for tests, driven by the test's own thread: no thread, no waiting inside.
//
// It records every request and answers by the test's handler.  Call step() until it has done what
// the test waits for.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace whisperer::engine {

struct HttpRequest {
    std::string request_line;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
    int connection = 0;  // number of the connection, from 1
};

struct HttpReply {
    std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    std::chrono::milliseconds delay{0};
    bool hang = false;   // never answer
    bool close = false;  // close behind the bytes
    bool reset = false;  // RST instead of an answer

    static HttpReply status(int status, const std::string& body = "",
                            const std::string& headers = "");
};

class HttpServer {
  public:
    using Handler = std::function<HttpReply(const HttpRequest&)>;

    explicit HttpServer(Handler handler = [](const HttpRequest&) { return HttpReply(); });
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    int port() const { return port_; }
    std::string url(const std::string& path = "/hook") const;
    // Accepts, reads and answers what it can; never waits.
    void step();
    // Descriptors to poll for.
    std::vector<int> fds() const;
    void set_handler(Handler handler) { handler_ = std::move(handler); }
    void close_connections();
    // What nobody asked for, on every connection that is open; it has arrived.
    void send_unasked(const std::string& bytes);

    std::vector<HttpRequest> requests;
    int connections = 0;
    // The next request that is this long breaks its connection; 0: none.
    std::size_t close_after_bytes = 0;

  private:
    struct Connection {
        int fd;
        int number;
        std::string in;
        std::string out;
        std::optional<HttpReply> reply;
        std::chrono::steady_clock::time_point reply_at;
    };

    void read_from(Connection& connection);
    bool serve(Connection& connection);  // false: close it

    Handler handler_;
    int listener_;
    int port_ = 0;
    std::vector<std::unique_ptr<Connection>> open_;
};

}  // namespace whisperer::engine
