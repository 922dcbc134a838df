// Checks what postgresql.conf says before anything relies on it.
#include "worker/rules/settings.h"

#include "worker/base/invalid.h"
#include "worker/base/span.h"

namespace whisperer::engine {
namespace {

int positive(std::int32_t value, const char* name) {
    if (value < 1)
        throw Invalid(std::string(name) + " must be at least 1");
    return value;
}

std::size_t kept_bytes(std::int32_t value, const char* name) {
    if (value < 0 || static_cast<std::size_t>(value) > response_body_bytes_max)
        throw Invalid(std::string(name) + " must be from 0 to 65536");
    return static_cast<std::size_t>(value);
}

std::shared_ptr<const Target> divert_target(std::string_view url) {
    if (url.empty())
        return nullptr;
    try {
        return std::make_shared<const Target>(parse_url(url, false));
    } catch (const Invalid& invalid) {
        throw Invalid(std::string("divert_to: ") + invalid.what(), invalid.hint());
    }
}

// What libcurl gets as a C string must not end before it ends.
std::string plain_text(std::string_view text, const char* name) {
    for (char c : text)
        if (static_cast<unsigned char>(c) < 0x20)
            throw Invalid(std::string(name) + " contains a control character");
    return std::string(text);
}

}  // namespace

Settings::Settings(const WhispererSettings& door)
    : max_in_flight(positive(door.max_in_flight, "max_in_flight")),
      max_in_flight_per_hook(positive(door.max_in_flight_per_hook, "max_in_flight_per_hook")),
      park_after(milliseconds(positive(door.park_after_ms, "park_after"))),
      request_timeout(milliseconds(positive(door.request_timeout_ms, "request_timeout"))),
      connect_timeout(milliseconds(positive(door.connect_timeout_ms, "connect_timeout"))),
      queued_bytes_max(door.queued_bytes_max),
      failure_response_bytes_max(
          kept_bytes(door.failure_response_bytes_max, "failure_response_bytes_max")),
      success_response_bytes_max(
          kept_bytes(door.success_response_bytes_max, "success_response_bytes_max")),
      require_https(door.require_https != 0),
      circuit_breaker(door.circuit_breaker != 0),
      any_key_exchange(door.any_key_exchange != 0),
      guard(view_of(door.allowed_networks), view_of(door.denied_networks)),
      divert_to(divert_target(view_of(door.divert_to))),
      proxy(plain_text(view_of(door.proxy), "proxy")),
      ca_file(plain_text(view_of(door.ca_file), "ca_file")),
      user_agent("whisperer/" + plain_text(view_of(door.version), "version")) {
    if (queued_bytes_max < 1)
        throw Invalid("queued_bytes_max must be at least 1");
}

}  // namespace whisperer::engine
