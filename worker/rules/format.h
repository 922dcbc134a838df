// Formats: what a request says of an event, as its body and the headers that belong to it.
//
// Invariant: what a format makes depends on the event alone, and what a name stands for never
// changes; another shape gets another name.  So the ledger keeps the name of the format that a
// delivery was first sent in, and every further attempt has the same bytes.  Made by Event, by
// preview and for callbacks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "worker/engine.h"
#include "worker/rules/headers.h"

namespace whisperer::engine {

inline constexpr std::size_t payload_key_bytes_max = 64;
// Of an object_id or a source in a header; a longer one is left out, for receivers limit their
// headers.
inline constexpr std::size_t header_text_bytes_max = 1024;

enum class FormatKind {
    Whisperer,          // {"event":{"type":...,"uuid":...},"data":...}
    Standard,           // Standard Webhooks: {"type":...,"timestamp":...,"data":...}
    CloudEvents,        // CloudEvents 1.0, structured mode
    CloudEventsBinary,  // the data, and attributes in headers ce-*
    Data,               // the data
    Form,               // a flat object as application/x-www-form-urlencoded
};

struct Format {
    FormatKind kind = FormatKind::Whisperer;
    std::string payload_key = "data";  // of Whisperer

    // "standard", "whisperer:payload"; empty: whisperer.  Throws Invalid.
    static Format parse(std::string_view text);
};

// Throws Invalid, as what people wrote.
void check_format_name(std::string_view name);
void check_payload_key(std::string_view key, std::string_view format_name);
// Additional headers that the format sets itself.
void check_beside_format(const Format& format, const HeaderLines& additional_headers);

// Returns the size; writes only if it fits into capacity.  Throws Invalid if the event's data
// cannot be said in the format.
std::size_t write_body(const Format& format, const WhispererEvent& event, char* body,
                       std::size_t capacity);

// The same, of the size that it has.
std::string make_body(const Format& format, const WhispererEvent& event);

// What is known of an event beside its data, each as a header line; empty: it is not known.
struct Metadata {
    std::string time;
    std::string object;
    std::string source;

    // asked: bits of WhispererMetadata.
    void add_to(HeaderLines& lines, std::int32_t asked) const;
};
Metadata metadata_of(const WhispererEvent& event);

// Content-Type, and what else the format says in headers.
HeaderLines format_header_lines(const Format& format, const WhispererEvent& event);

}  // namespace whisperer::engine
