// The wire format by httplib; see codec.h.
#include "codec.h"

#include <httplib.h>

#include <algorithm>
#include <cstring>

#include "encoding.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

// All that httplib reads and writes.  The pure virtual functions of httplib::Stream changed between
// versions; this has those of all, so none says override.
class MemoryStream : public httplib::Stream {
  public:
    explicit MemoryStream(std::string input) : input_(std::move(input)) {}

    bool is_readable() const { return true; }
    bool is_writable() const { return true; }
    bool wait_readable() const { return true; }
    bool wait_writable() const { return true; }
    time_t duration() const { return 0; }
    socket_t socket() const { return INVALID_SOCKET; }
    void get_remote_ip_and_port(std::string&, int&) const {}
    void get_local_ip_and_port(std::string&, int&) const {}

    ssize_t read(char* target, std::size_t size) {
        const std::size_t taken = std::min(size, input_.size() - position_);
        std::memcpy(target, input_.data() + position_, taken);
        position_ += taken;
        return static_cast<ssize_t>(taken);
    }

    ssize_t write(const char* data, std::size_t size) {
        output_.append(data, size);
        return static_cast<ssize_t>(size);
    }

    std::string take_output() { return std::move(output_); }

  private:
    std::string input_;
    std::size_t position_ = 0;
    std::string output_;
};

void put(const Answer& answer, httplib::Response& response) {
    response.status = answer.status;
    for (const auto& [name, value] : answer.headers)
        response.set_header(name, value);
    if (!answer.body.empty())
        response.set_content(answer.body, answer.content_type);
    // httplib compresses by the type; a cache must not give one client what was made for another.
    if (!answer.body.empty() || answer.status == 304)
        response.set_header("Vary", "Accept-Encoding");
}

#ifdef CPPHTTPLIB_BROTLI_SUPPORT
constexpr bool has_brotli = true;
#else
constexpr bool has_brotli = false;
#endif
#ifdef CPPHTTPLIB_ZLIB_SUPPORT
constexpr bool has_gzip = true;
#else
constexpr bool has_gzip = false;
#endif

// A request line as httplib can read it.
struct RequestLine {
    std::string method;  // as the client wrote it; empty: httplib says what is wrong
    std::string text;
};

// RFC 9112, 3.2.2: http://host/path is what a proxy is asked for, and means /path here.
std::string origin_form(std::string_view target) {
    const std::string start = to_lower(target.substr(0, 8));
    const std::size_t scheme = start.starts_with("http://") ? 7 : start == "https://" ? 8 : 0;
    const std::size_t end = std::min(target.find_first_of("/?#", scheme), target.size());
    if (scheme == 0 || end == scheme)  // without a host it is no URL
        return std::string(target);
    return (target.substr(end).starts_with('/') ? "" : "/") + std::string(target.substr(end));
}

// RFC 3986, 3.4: a query may hold "?", and a value "=".  httplib splits at each of them.
std::string plain_query(const std::string& target) {
    const std::size_t question = std::min(target.find('?'), target.size());
    std::string plain = target.substr(0, question);
    bool in_value = false;
    for (std::size_t i = question; i < target.size(); i++) {
        const char c = target[i];
        if (c == '?' && i > question)
            plain += "%3F";
        else if (c == '=' && in_value)
            plain += "%3D";
        else
            plain += c;
        in_value = c != '&' && (in_value || c == '=');
    }
    return plain;
}

// httplib refuses methods that it does not know before anybody can say which there are.  It gets to
// see one that no route has instead.
RequestLine request_line_of(const std::string& line) {
    constexpr std::size_t method_bytes_max = 32;
    const std::size_t method_end = line.find(' ');
    const std::size_t target_end = line.rfind(' ');
    const std::string method = line.substr(0, method_end);
    if (method_end == target_end || !is_token(method) || method.size() > method_bytes_max)
        return {{}, line};
    const bool is_served =
        std::string_view(" GET HEAD POST PUT PATCH DELETE ").find(" " + method + " ") !=
        std::string_view::npos;
    const std::string target = line.substr(method_end + 1, target_end - method_end - 1);
    return {method, (is_served ? method : "OPTIONS") + " " + plain_query(origin_form(target)) +
                        line.substr(target_end)};
}

// Newer versions close after every error, whatever they were told.
bool says_close(std::string_view bytes) {
    const std::string_view head = bytes.substr(0, bytes.find("\r\n\r\n"));
    return head.find("\r\nConnection: close") != std::string_view::npos;
}

}  // namespace

class Codec::Server : public httplib::Server {
  public:
    explicit Server(Callbacks callbacks) : callbacks_(std::move(callbacks)) {
        set_keep_alive_timeout(15);
        set_keep_alive_max_count(1000);
        set_pre_routing_handler([this](const httplib::Request& got, httplib::Response& response) {
            Request& request = *request_;
            request.path = got.path;
            request.params = {got.params.begin(), got.params.end()};
            put(callbacks_.answer(request), response);
            return HandlerResponse::Handled;
        });
        // Called for every status of 400 and more; has a body: that was ours.
        set_error_handler(
            HandlerWithResponse([this](const httplib::Request& got, httplib::Response& response) {
                if (response.body.empty()) {
                    if (request_->method.empty())
                        request_->method = got.method;
                    put(callbacks_.refuse(*request_, problem_of(response.status)), response);
                }
                return HandlerResponse::Handled;
            }));
        set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
            if (response.status == 204 || response.status == 304)
                response.headers.erase("Content-Length");
        });
    }

    Reply reply(Head head, bool last) {
        request_ = &head.request;
        // httplib looks for names of codings in it, and knows no weights: it gets the chosen one.
        RequestLine line = request_line_of(head.request_line);
        head.request.method = std::move(line.method);
        MemoryStream stream(line.text + "\r\nAccept-Encoding: " +
                            std::string(encoding_for(head.accept_encoding, has_brotli, has_gzip)) +
                            "\r\n\r\n");
        bool closes = false;
        process(*this, stream, last || head.closes, closes);
        Reply reply{stream.take_output(), last || head.closes};
        reply.closes |= says_close(reply.bytes) || reply.bytes.empty();
        return reply;
    }

  private:
    static Problem problem_of(int status) {
        if (status == 414)
            return {414, "uri_too_long", "the URL is longer than 8 kB"};
        return {400, "bad_request", "the request line is malformed"};
    }

    // 0.11 takes the addresses from the stream; since 0.15 they are arguments.
    template <typename S>
    static auto process(S& self, httplib::Stream& stream, bool last, bool& closes)
        -> decltype(self.process_request(stream, last, closes, nullptr)) {
        return self.process_request(stream, last, closes, nullptr);
    }
    template <typename S>
    static auto process(S& self, httplib::Stream& stream, bool last, bool& closes)
        -> decltype(self.process_request(stream, "", 0, "", 0, last, closes, nullptr)) {
        return self.process_request(stream, "", 0, "", 0, last, closes, nullptr);
    }

    Callbacks callbacks_;
    Request* request_ = nullptr;  // of the reply that is being made
};

Codec::Codec(Callbacks callbacks) : server_(std::make_unique<Server>(std::move(callbacks))) {}
Codec::~Codec() = default;

Reply Codec::reply(Head head, bool last) {
    return server_->reply(std::move(head), last);
}

Reply closing_reply(const Answer& answer) {
    std::string bytes = "HTTP/1.1 " + std::to_string(answer.status) + " Refused\r\n";
    for (const auto& [name, value] : answer.headers)
        bytes += name + ": " + value + "\r\n";
    bytes += "Content-Type: " + answer.content_type +
             "\r\nContent-Length: " + std::to_string(answer.body.size()) +
             "\r\nConnection: close\r\n\r\n" + answer.body;
    return {std::move(bytes), true};
}

}  // namespace whisperer::gateway
