// The body that is sent, and the event that carries it through the engine.
//
// Invariant: one event has one body, built once (or given by the host) and shared by all its
// deliveries; the bytes signed are the bytes sent.  Made by Dispatcher::submit, by
// whisperer_envelope and by preview.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace whisperer::engine {

inline constexpr std::size_t event_type_bytes_max = 256;

// {"event":{"type":...,"uuid":...},"data":...}; data as given.  Returns the size; writes only if it
// fits into capacity.  Allocates nothing.
std::size_t write_envelope(const std::uint8_t (&id)[16], std::string_view type,
                           std::string_view data, char* body, std::size_t capacity) noexcept;

// One event in memory.  Immutable; shared by the deliveries that are queued or in flight, and gone
// with the last of them.  While it lives its size is part of *held_bytes, which must outlive it.
class Event {
  public:
    // body empty: the envelope of the others.  Throws Invalid if the type cannot stand in a header.
    Event(const std::uint8_t (&id)[16], std::string_view type, std::string_view data,
          std::string_view body, std::int64_t* held_bytes);
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    const std::string& body() const { return body_; }
    // The body is not the envelope.
    bool has_own_body() const { return has_own_body_; }
    // 32 hex digits: the webhook-id.
    const std::string& id() const { return id_; }
    const std::string& type() const { return type_; }

  private:
    std::string id_;
    std::string type_;
    std::string body_;
    bool has_own_body_;
    std::int64_t* held_bytes_;
};

}  // namespace whisperer::engine
