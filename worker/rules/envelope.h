// The event that goes through the engine, and the body that is sent of it.
//
// Invariant: one event has one body, built once (or given by the host) and shared by all its
// deliveries; the bytes signed are the bytes sent.  Made by Dispatcher::submit.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "worker/engine.h"
#include "worker/rules/event_meta.h"
#include "worker/rules/format.h"
#include "worker/rules/gzipped.h"
#include "worker/rules/headers.h"

namespace whisperer::engine {

inline constexpr std::size_t event_type_bytes_max = 512;

// One event in memory.  Immutable; shared by the deliveries that are queued or in flight, and gone
// with the last of them.  While it lives its size is part of *held_bytes, which must outlive it.
class Event {
  public:
    // Throws Invalid if the type cannot stand in a header, or the data not in the format.
    Event(const WhispererEvent& door, std::int64_t* held_bytes);
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    const std::string& body() const { return body_; }
    const std::string& gzipped() const { return gzipped_.of(body_); }
    // The body cannot be made again of what the outbox has.
    bool has_own_body() const { return has_own_body_; }
    // It shares no batch with others.
    bool is_alone() const { return is_alone_; }
    FormatKind kind() const { return kind_; }
    const std::string& format() const { return format_; }
    // What the format says beside the body.
    const std::shared_ptr<const HeaderLines>& header_lines() const { return header_lines_; }
    // What is known of it beside the data, and what was said of it; null: nothing.
    const Metadata* metadata() const { return metadata_.get(); }
    const EventMeta* meta() const { return meta_.get(); }
    // 32 hex digits: the webhook-id.
    std::string_view id() const { return {id_.data(), id_.size()}; }
    const std::string& type() const { return type_; }

  private:
    std::array<char, 32> id_;
    std::string type_;
    std::string format_;
    std::string body_;
    std::shared_ptr<const HeaderLines> header_lines_;
    std::unique_ptr<const Metadata> metadata_;
    std::unique_ptr<const EventMeta> meta_;
    FormatKind kind_;
    bool has_own_body_;
    bool is_alone_;
    std::int64_t* held_bytes_;
    mutable Gzipped gzipped_;  // made when it is asked for
};

}  // namespace whisperer::engine
