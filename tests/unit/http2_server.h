// A small HTTP/2 server for tests, over TLS with a certificate of its own, driven by the test's own
// thread like HttpServer.  nghttp2 speaks the protocol.
#pragma once
#if __has_include(<nghttp2/nghttp2.h>)
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace whisperer::engine {

struct Http2Request {
    std::string body;
    int connection = 0;     // number of the connection, from 1
    bool is_first = false;  // on its connection
};

enum class Http2Reply {
    Ok,      // 200
    Silent,  // for ever
    Refuse,  // RST_STREAM, REFUSED_STREAM: it was not processed
    GoAway,  // GOAWAY: this request was not processed, and no more are taken
    Drop     // the connection is closed, without a word
};

class Http2Server {
  public:
    using Handler = std::function<Http2Reply(const Http2Request&)>;

    explicit Http2Server(Handler handler = [](const Http2Request&) { return Http2Reply::Ok; });
    ~Http2Server();
    Http2Server(const Http2Server&) = delete;
    Http2Server& operator=(const Http2Server&) = delete;

    std::string url() const { return "https://127.0.0.1:" + std::to_string(port_) + "/"; }
    const std::string& certificate_file() const { return certificate_file_; }
    void set_handler(Handler handler) { handler_ = std::move(handler); }
    // Accepts, reads and answers what it can; never waits.
    void step();
    // Nothing is read from connections that are open now, nor sent on them: their path is dead.
    void forget_connections();

    std::vector<Http2Request> requests;
    int connections = 0;
    // Answers by this status as soon as a request's headers are there, and refuses its body; 0: no.
    int early_status = 0;

  private:
    struct Connection {
        Http2Server* server = nullptr;
        int fd = -1;
        int number = 0;
        SSL* tls = nullptr;
        nghttp2_session* session = nullptr;
        std::map<std::int32_t, std::string> bodies;  // of requests that are not whole yet
        std::string out;
        bool has_had_request = false;
        bool is_dead = false;
        bool is_dropped = false;
    };

    void make_certificate();
    void open(int fd);
    void end(Connection& connection);
    bool serve(Connection& connection);  // false: it is over
    bool flush(Connection& connection);
    void answer(Connection& connection, std::int32_t stream);
    void answer_early(Connection& connection, std::int32_t stream);

    static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
    static int on_data(nghttp2_session*, std::uint8_t flags, std::int32_t stream,
                       const std::uint8_t* data, std::size_t size, void* self);
    static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self);

    Handler handler_;
    int listener_;
    int port_ = 0;
    SSL_CTX* context_;
    std::string certificate_file_;
    std::vector<std::unique_ptr<Connection>> open_;
};

}  // namespace whisperer::engine
#endif
