// The tests' own HTTP/2 server.
#include "tests/unit/http2_server.h"

#if __has_include(<nghttp2/nghttp2.h>)
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace whisperer::engine {
namespace {

int choose_http2(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* list,
                 unsigned int list_size, void*) {
    return nghttp2_select_next_protocol(const_cast<unsigned char**>(chosen), size, list,
                                        list_size) == 1
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

Http2Server::Http2Server(Handler handler)
    : handler_(std::move(handler)),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      context_(SSL_CTX_new(TLS_server_method())) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 64) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("test server cannot listen");
    port_ = ntohs(address.sin_port);
    SSL_CTX_set_alpn_select_cb(context_, choose_http2, nullptr);
    make_certificate();
}

Http2Server::~Http2Server() {
    for (auto& connection : open_)
        end(*connection);
    close(listener_);
    SSL_CTX_free(context_);
    unlink(certificate_file_.c_str());
}

void Http2Server::make_certificate() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION* address =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate, address, -1);
    X509_EXTENSION_free(address);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(context_, certificate);
    SSL_CTX_use_PrivateKey(context_, key);
    char path[] = "/tmp/whisperer-test-XXXXXX";
    FILE* file = fdopen(mkstemp(path), "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    certificate_file_ = path;
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void Http2Server::open(int fd) {
    auto connection = std::make_unique<Connection>();
    connection->server = this;
    connection->fd = fd;
    connection->number = ++connections;
    connection->tls = SSL_new(context_);
    SSL_set_fd(connection->tls, fd);
    SSL_set_accept_state(connection->tls);
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_server_new(&connection->session, callbacks, connection.get());
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, nullptr, 0);
    open_.push_back(std::move(connection));
}

void Http2Server::end(Connection& connection) {
    nghttp2_session_del(connection.session);
    SSL_free(connection.tls);
    close(connection.fd);
}

int Http2Server::on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    static_cast<Connection*>(self)->bodies[frame->hd.stream_id].clear();
    return 0;
}

int Http2Server::on_data(nghttp2_session*, std::uint8_t, std::int32_t stream,
                         const std::uint8_t* data, std::size_t size, void* self) {
    static_cast<Connection*>(self)->bodies[stream].append(reinterpret_cast<const char*>(data),
                                                          size);
    return 0;
}

int Http2Server::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    auto& connection = *static_cast<Connection*>(self);
    Http2Server& server = *connection.server;
    if (server.early_status != 0) {
        if (frame->hd.type == NGHTTP2_HEADERS)
            server.answer_early(connection, frame->hd.stream_id);
        return 0;
    }
    const bool is_request = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (is_request && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        server.answer(connection, frame->hd.stream_id);
    return 0;
}

// As RFC 9113, 8.1, has it: the answer is complete, and no more of the request is wanted.
void Http2Server::answer_early(Connection& connection, std::int32_t stream) {
    requests.push_back({"", connection.number, !connection.has_had_request});
    connection.has_had_request = true;
    char name[] = ":status";
    std::string status = std::to_string(early_status);
    const nghttp2_nv header{reinterpret_cast<std::uint8_t*>(name),
                            reinterpret_cast<std::uint8_t*>(status.data()), sizeof name - 1,
                            status.size(), NGHTTP2_NV_FLAG_NONE};
    nghttp2_submit_response(connection.session, stream, &header, 1, nullptr);
    flush(connection);
    nghttp2_submit_rst_stream(connection.session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
}

void Http2Server::answer(Connection& connection, std::int32_t stream) {
    Http2Request request;
    request.body = connection.bodies[stream];
    request.connection = connection.number;
    request.is_first = !connection.has_had_request;
    connection.bodies.erase(stream);
    connection.has_had_request = true;
    requests.push_back(request);
    char name[] = ":status";
    char status[] = "200";
    const nghttp2_nv ok{reinterpret_cast<std::uint8_t*>(name),
                        reinterpret_cast<std::uint8_t*>(status), sizeof name - 1, sizeof status - 1,
                        NGHTTP2_NV_FLAG_NONE};
    switch (handler_(request)) {
        case Http2Reply::Ok:
            nghttp2_submit_response(connection.session, stream, &ok, 1, nullptr);
            break;
        case Http2Reply::Silent:
            break;
        case Http2Reply::Refuse:
            nghttp2_submit_rst_stream(connection.session, NGHTTP2_FLAG_NONE, stream,
                                      NGHTTP2_REFUSED_STREAM);
            break;
        case Http2Reply::GoAway:
            nghttp2_submit_goaway(connection.session, NGHTTP2_FLAG_NONE, std::max(stream - 2, 0),
                                  NGHTTP2_NO_ERROR, nullptr, 0);
            break;
        case Http2Reply::Drop:
            connection.is_dropped = true;
            break;
    }
}

bool Http2Server::flush(Connection& connection) {
    const std::uint8_t* data = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(connection.session, &data)) > 0;)
        connection.out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    if (connection.out.empty())
        return true;
    const int sent =
        SSL_write(connection.tls, connection.out.data(), static_cast<int>(connection.out.size()));
    if (sent > 0)
        connection.out.erase(0, static_cast<std::size_t>(sent));
    return sent > 0 || SSL_get_error(connection.tls, sent) != SSL_ERROR_SSL;
}

bool Http2Server::serve(Connection& connection) {
    if (connection.is_dead)
        return true;
    std::uint8_t buffer[16384];
    int size;
    while ((size = SSL_read(connection.tls, buffer, sizeof buffer)) > 0)
        if (nghttp2_session_mem_recv(connection.session, buffer, static_cast<std::size_t>(size)) <
            0)
            return false;
    const int error = SSL_get_error(connection.tls, size);
    if (connection.is_dropped)
        return false;
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return false;
    return SSL_is_init_finished(connection.tls) != 1 || flush(connection);
}

void Http2Server::step() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
        open(fd);
    for (std::size_t i = 0; i < open_.size();) {
        if (serve(*open_[i])) {
            ++i;
            continue;
        }
        end(*open_[i]);
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

void Http2Server::forget_connections() {
    for (auto& connection : open_)
        connection->is_dead = true;
}

}  // namespace whisperer::engine
#endif
