// Names of formats, and the bodies and headers that they stand for.
#include "worker/rules/format.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <limits>

#include "worker/base/clean_text.h"
#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/base/json_scanner.h"
#include "worker/base/sink.h"
#include "worker/base/span.h"
#include "worker/rules/event_meta.h"

namespace whisperer::engine {
namespace {

constexpr std::array<std::string_view, 6> format_names = {
    "whisperer", "standard", "cloudevents", "cloudevents-binary", "data", "form"};
constexpr std::array<std::string_view, 9> binary_headers = {
    "ce-specversion", "ce-id",          "ce-source",     "ce-type",           "ce-time",
    "ce-subject",     "ce-traceparent", "ce-tracestate", "ce-datacontenttype"};

const char* content_type(FormatKind kind) {
    switch (kind) {
        case FormatKind::CloudEvents:
            return "application/cloudevents+json; charset=utf-8";
        case FormatKind::Form:
            return "application/x-www-form-urlencoded";
        default:
            return "application/json";
    }
}

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// RFC 3339, in UTC.
std::string time_text(std::int64_t unix_us) {
    using namespace std::chrono;
    const sys_time<microseconds> moment{microseconds(unix_us)};
    const auto day = floor<days>(moment);
    const year_month_day date(day);
    const hh_mm_ss time(moment - day);
    char text[64];
    std::snprintf(
        text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
        static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
        static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
        static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
    return text;
}

// A URI-reference: /whisperer/public.package, or /whisperer for what no table recorded.
std::string source_of(const WhispererEvent& event) {
    const std::string_view table = view_of(event.source);
    if (table.empty())
        return "/whisperer";
    return "/whisperer/" + percent_encoded(table, [](char c) {
               return is_plain(c) || std::string_view("-._~").find(c) != std::string_view::npos;
           });
}

void put_whisperer(Sink& sink, const WhispererEvent& event, std::string_view payload_key) {
    sink.put(R"({"event":{"type":")");
    sink.put_json_text(view_of(event.type));
    sink.put(R"(","uuid":")");
    sink.put_hex(event.id);
    sink.put(R"("},")");
    sink.put(payload_key);
    sink.put(R"(":)");
    sink.put(view_of(event.data));
    sink.put('}');
}

void put_standard(Sink& sink, const WhispererEvent& event) {
    sink.put(R"({"type":")");
    sink.put_json_text(view_of(event.type));
    sink.put(R"(","timestamp":")");
    sink.put(time_text(event.recorded_at_us));
    sink.put(R"(","data":)");
    sink.put(view_of(event.data));
    sink.put('}');
}

void put_cloud_event(Sink& sink, const WhispererEvent& event) {
    const EventMeta meta = EventMeta::parse(view_of(event.meta));
    sink.put(R"({"specversion":"1.0","id":")");
    sink.put_hex(event.id);
    sink.put(R"(","source":")");
    sink.put(source_of(event));
    sink.put(R"(","type":")");
    sink.put_json_text(view_of(event.type));
    sink.put(R"(","time":")");
    sink.put(time_text(event.recorded_at_us));
    if (event.object_id.size > 0) {
        sink.put(R"(","subject":")");
        sink.put_json_text(view_of(event.object_id));
    }
    if (!meta.traceparent.empty()) {
        sink.put(R"(","traceparent":")");
        sink.put_json_text(meta.traceparent);
    }
    if (!meta.tracestate.empty()) {
        sink.put(R"(","tracestate":")");
        sink.put_json_text(meta.tracestate);
    }
    sink.put(R"(","datacontenttype":"application/json","data":)");
    sink.put(view_of(event.data));
    sink.put('}');
}

// Of application/x-www-form-urlencoded, by the URL standard.
void put_form_text(Sink& sink, std::string_view text) {
    std::string encoded = percent_encoded(text, [](char c) {
        return is_plain(c) || std::string_view("*-._ ").find(c) != std::string_view::npos;
    });
    std::replace(encoded.begin(), encoded.end(), ' ', '+');
    sink.put(encoded);
}

void require_flat(bool is_flat) {
    if (!is_flat)
        throw Invalid("data is not a flat JSON object, as format form needs it",
                      "A transform can make one.");
}

// A number stays as it is written; null is a name without a value.
void put_form(Sink& sink, std::string_view data) {
    std::int64_t steps = std::numeric_limits<std::int64_t>::max();
    JsonScanner scanner(data, steps);
    require_flat(scanner.peek() == JsonKind::Object);
    scanner.enter();
    std::string_view key;
    for (bool is_first = true; scanner.next_member(key); is_first = false) {
        const JsonKind kind = scanner.peek();
        require_flat(kind != JsonKind::Object && kind != JsonKind::Array);
        const std::string_view value = scanner.take_scalar();
        sink.put(is_first ? "" : "&");
        put_form_text(sink, decode_json_string(key));
        sink.put('=');
        if (kind == JsonKind::String)
            put_form_text(sink, decode_json_string(value));
        else if (kind != JsonKind::Null)
            put_form_text(sink, value);
    }
}

std::size_t put_body(Sink sink, const Format& format, const WhispererEvent& event) {
    switch (format.kind) {
        case FormatKind::Whisperer:
            put_whisperer(sink, event, format.payload_key);
            break;
        case FormatKind::Standard:
            put_standard(sink, event);
            break;
        case FormatKind::CloudEvents:
            put_cloud_event(sink, event);
            break;
        case FormatKind::CloudEventsBinary:
        case FormatKind::Data:
            sink.put(view_of(event.data));
            break;
        case FormatKind::Form:
            try {
                put_form(sink, view_of(event.data));
            } catch (const JsonGaveUp&) {
                require_flat(false);
            }
            break;
    }
    return sink.size();
}

}  // namespace

Format Format::parse(std::string_view text) {
    if (text.empty())
        return {};
    Format format;
    const std::size_t colon = text.find(':');
    const std::string_view name = text.substr(0, colon);
    check_format_name(name);
    const auto* const found = std::find(format_names.begin(), format_names.end(), name);
    format.kind = static_cast<FormatKind>(found - format_names.begin());
    if (colon != std::string_view::npos) {
        check_payload_key(text.substr(colon + 1), name);
        format.payload_key = text.substr(colon + 1);
    }
    return format;
}

void check_format_name(std::string_view name) {
    if (std::find(format_names.begin(), format_names.end(), name) == format_names.end())
        throw Invalid(
            "unknown format \"" + to_clean_line(name, 64) + "\"",
            "Known are whisperer, standard, cloudevents, cloudevents-binary, data and form.");
}

void check_payload_key(std::string_view key, std::string_view format_name) {
    if (format_name != "whisperer")
        throw Invalid("payload_key is for format whisperer alone",
                      "Leave it null: the other formats are what they are.");
    const bool is_name = std::all_of(key.begin(), key.end(), [](char c) {
        return is_plain(c) || std::string_view("-._").find(c) != std::string_view::npos;
    });
    if (key.empty() || key.size() > payload_key_bytes_max || !is_name || key == "event")
        throw Invalid("payload_key must be 1 to 64 of A-Z a-z 0-9 . _ - and not \"event\"");
}

void check_beside_format(const Format& format, const HeaderLines& additional_headers) {
    if (format.kind != FormatKind::CloudEventsBinary)
        return;
    for (std::string_view name : binary_headers)
        if (sets_header(additional_headers, name))
            throw Invalid("header \"" + std::string(name) +
                              "\" is set by additional_headers and by format cloudevents-binary",
                          "Remove it from additional_headers; other ce-* headers may stay.");
}

std::size_t write_body(const Format& format, const WhispererEvent& event, char* body,
                       std::size_t capacity) {
    const std::size_t size = put_body(Sink(nullptr), format, event);
    if (body != nullptr && size <= capacity)
        put_body(Sink(body), format, event);
    return size;
}

std::string make_body(const Format& format, const WhispererEvent& event) {
    std::string body;
    body.reserve(put_body(Sink(nullptr), format, event));
    put_body(Sink(body), format, event);
    return body;
}

void Metadata::add_to(HeaderLines& lines, std::int32_t asked) const {
    const auto add = [&](std::int32_t bit, const std::string& line) {
        if ((asked & bit) != 0 && !line.empty())
            lines.push_back(line);
    };
    add(WhispererMetadataTime, time);
    add(WhispererMetadataObject, object);
    add(WhispererMetadataSource, source);
}

Metadata metadata_of(const WhispererEvent& event) {
    Metadata metadata;
    if (event.recorded_at_us == 0)
        return metadata;
    metadata.time = encoded_line("X-Whisperer-Time", time_text(event.recorded_at_us));
    if (event.object_id.size > 0 && event.object_id.size <= header_text_bytes_max)
        metadata.object = encoded_line("X-Whisperer-Object", view_of(event.object_id));
    if (event.source.size > 0 && event.source.size <= header_text_bytes_max)
        metadata.source = encoded_line("X-Whisperer-Source", view_of(event.source));
    return metadata;
}

HeaderLines format_header_lines(const Format& format, const WhispererEvent& event) {
    HeaderLines lines{std::string("Content-Type: ") + content_type(format.kind)};
    if (format.kind != FormatKind::CloudEventsBinary)
        return lines;
    lines.emplace_back("ce-specversion: 1.0");
    lines.push_back(
        encoded_line("ce-id", to_hex({reinterpret_cast<const char*>(event.id), sizeof event.id})));
    lines.push_back(encoded_line("ce-source", source_of(event)));
    lines.push_back(encoded_line("ce-type", view_of(event.type)));
    lines.push_back(encoded_line("ce-time", time_text(event.recorded_at_us)));
    if (event.object_id.size > 0 && event.object_id.size <= header_text_bytes_max)
        lines.push_back(encoded_line("ce-subject", view_of(event.object_id)));
    const EventMeta meta = EventMeta::parse(view_of(event.meta));
    if (!meta.traceparent.empty())
        lines.push_back(encoded_line("ce-traceparent", meta.traceparent));
    if (!meta.tracestate.empty())
        lines.push_back(encoded_line("ce-tracestate", meta.tracestate));
    return lines;
}

}  // namespace whisperer::engine
