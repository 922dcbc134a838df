// Reads what was recorded beside an event, and writes the headers that say it.
#include "worker/rules/event_meta.h"

#include <charconv>
#include <chrono>
#include <cstdint>
#include <limits>

#include "worker/base/invalid.h"
#include "worker/base/json_scanner.h"
#include "worker/base/sink.h"
#include "worker/rules/trace_context.h"

namespace whisperer::engine {
namespace {

// A UTF-16 code unit as JSON escapes it.
void append_escaped(std::string& text, std::uint32_t unit) {
    text += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4)
        text += hex_digits[unit >> shift & 15];
}

// The code point of the UTF-8 sequence that starts there, and where it ends; a broken byte stands
// for itself.
std::uint32_t take_code_point(std::string_view text, std::size_t& at) {
    const auto byte = [&](std::size_t index) {
        return index < text.size() ? static_cast<unsigned char>(text[index]) : 0U;
    };
    const std::uint32_t first = byte(at);
    const std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    std::uint32_t point = first & (more == 3   ? 0x07U
                                   : more == 2 ? 0x0FU
                                   : more == 1 ? 0x1FU
                                               : 0xFFU);
    for (std::size_t i = 1; i <= more; ++i)
        point = point << 6 | (byte(at + i) & 0x3FU);
    at += 1 + more;
    return point;
}

// The same JSON without spaces between tokens, and in ASCII: so it may stand in a header.
std::string compact_ascii(std::string_view json) {
    std::string text;
    bool in_string = false;
    for (std::size_t at = 0; at < json.size();) {
        const char c = json[at];
        if (static_cast<unsigned char>(c) >= 0x7f) {
            const std::uint32_t point = take_code_point(json, at);
            if (point >= 0x10000) {
                append_escaped(text, 0xD800 + ((point - 0x10000) >> 10 & 0x3FF));
                append_escaped(text, 0xDC00 + (point & 0x3FF));
            } else {
                append_escaped(text, point);
            }
            continue;
        }
        ++at;
        if (!in_string && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
            continue;
        text += c;
        if (in_string && c == '\\' && at < json.size())
            text += json[at++];
        else if (c == '"')
            in_string = !in_string;
    }
    return text;
}

// The members of an object, each as (key, value as written).
template <typename Take>
void for_each_member(std::string_view json, Take take) {
    std::int64_t steps = std::numeric_limits<std::int64_t>::max();
    JsonScanner::validate(json, steps);
    JsonScanner scanner(json, steps);
    if (scanner.peek() != JsonKind::Object)
        throw JsonGaveUp{};
    scanner.enter();
    std::string_view raw_key;
    while (scanner.next_member(raw_key)) {
        (void)scanner.peek();  // to the value's first character
        const std::size_t begin = scanner.position();
        scanner.skip_value();
        take(raw_key, json.substr(begin, scanner.position() - begin));
    }
}

std::string text_of(std::string_view key, std::string_view value) {
    if (!value.starts_with('"'))
        throw Invalid(std::string(key) + " of whisperer.context is not a string");
    return decode_json_string(value.substr(1, value.size() - 2));
}

void set_once(std::string& part, std::string_view key, std::string_view value) {
    if (!part.empty())
        throw Invalid(std::string(key) + " is given twice in whisperer.context");
    part = text_of(key, value);
}

void check_trace(const EventMeta& meta, bool has_tracestate) {
    if (!meta.traceparent.empty() && !is_traceparent(meta.traceparent))
        throw Invalid("traceparent of whisperer.context is not valid",
                      "W3C Trace Context has it as 00-<32 hex digits>-<16 hex digits>-<2 hex "
                      "digits>, in lower case, and no id is zero.");
    if (!has_tracestate)
        return;
    if (!is_tracestate(meta.tracestate))
        throw Invalid("tracestate of whisperer.context is not valid",
                      "W3C Trace Context has it as a list of at most 32 members key=value.");
    if (meta.traceparent.empty())
        throw Invalid("tracestate of whisperer.context has no traceparent beside it",
                      "Receivers read it only with a traceparent.");
}

void read_context(EventMeta& meta, std::string_view json) {
    if (json.size() > context_bytes_max)
        throw Invalid("whisperer.context is longer than 1024 bytes");
    bool has_traceparent = false, has_tracestate = false;
    std::string others;
    for_each_member(json, [&](std::string_view raw_key, std::string_view value) {
        const std::string key = decode_json_string(raw_key);
        if (key == "traceparent" || key == "tracestate") {
            set_once(key == "traceparent" ? meta.traceparent : meta.tracestate, key, value);
            (key == "traceparent" ? has_traceparent : has_tracestate) = true;
            return;
        }
        others += others.empty() ? "{\"" : ",\"";
        others.append(raw_key).append("\":").append(value);
    });
    if (has_traceparent && meta.traceparent.empty())
        throw Invalid("traceparent of whisperer.context is empty", "Leave it out.");
    check_trace(meta, has_tracestate);
    if (!others.empty())
        meta.context = compact_ascii(others + '}');
}

// "2026-01-02T03:04:05.678901Z", as it is recorded.
std::int64_t moment_of(std::string_view value) {
    constexpr std::string_view form = "\"0000-00-00T00:00:00.000000Z\"";
    bool fits = value.size() == form.size();
    for (std::size_t i = 0; fits && i < form.size(); ++i)
        fits = form[i] == '0' ? value[i] >= '0' && value[i] <= '9' : value[i] == form[i];
    if (!fits)
        throw JsonGaveUp{};
    const auto number = [&](std::size_t begin, std::size_t count) {
        int result = 0;
        std::from_chars(value.data() + begin, value.data() + begin + count, result);
        return result;
    };
    using namespace std::chrono;
    const year_month_day date{year(number(1, 4)), month(static_cast<unsigned>(number(6, 2))),
                              day(static_cast<unsigned>(number(9, 2)))};
    if (!date.ok())
        throw JsonGaveUp{};
    return microseconds(sys_days(date).time_since_epoch() + hours(number(12, 2)) +
                        minutes(number(15, 2)) + seconds(number(18, 2)) +
                        microseconds(number(21, 6)))
        .count();
}

std::string key_of(std::string_view value) {
    if (!value.starts_with('"'))
        throw JsonGaveUp{};
    std::string key = decode_json_string(value.substr(1, value.size() - 2));
    check_idempotency_key(key);
    return key;
}

}  // namespace

EventMeta EventMeta::parse(std::string_view json) {
    EventMeta meta;
    if (json.empty())
        return meta;
    try {
        for_each_member(json, [&](std::string_view key, std::string_view value) {
            if (key == "context")
                read_context(meta, value);
            else if (key == "headers")
                meta.headers = parse_additional_headers(value);
            else if (key == "deliver_at")
                meta.deliver_at_us = moment_of(value);
            else if (key == "expires_at")
                meta.expires_at_us = moment_of(value);
            else if (key == "ping_of" && value.starts_with('"'))
                meta.ping_of = decode_json_string(value.substr(1, value.size() - 2));
            else if (key == "idempotency_key")
                meta.idempotency_key = key_of(value);
            else if (key == "key_until")
                meta.key_until_us = moment_of(value);
        });
    } catch (const JsonGaveUp&) {
        throw Invalid("meta of the event is not what whisperer records");
    }
    return meta;
}

void EventMeta::keep_common(const EventMeta& other) {
    if (traceparent != other.traceparent || tracestate != other.tracestate) {
        traceparent.clear();
        tracestate.clear();
    }
    if (context != other.context)
        context.clear();
    if (idempotency_key != other.idempotency_key)
        idempotency_key.clear();
    if (headers != other.headers)
        headers.clear();
}

WhispererEvent as_told(const WhispererEvent& event, const EventMeta& meta) {
    WhispererEvent told = event;
    if (!meta.ping_of.empty())
        told.type = {meta.ping_of.data(), meta.ping_of.size()};
    return told;
}

HeaderLines EventMeta::lines(bool with_headers) const {
    HeaderLines said;
    if (!traceparent.empty())
        said.push_back("traceparent: " + traceparent);
    if (!tracestate.empty())
        said.push_back("tracestate: " + tracestate);
    if (!context.empty())
        said.push_back("X-Whisperer-Context: " + context);
    if (!idempotency_key.empty())
        said.push_back(encoded_line("X-Whisperer-Idempotency-Key", idempotency_key));
    if (!with_headers || headers.empty())
        return said;
    HeaderLines lines = headers;
    add_apart(said, {&headers}, lines);
    return lines;
}

void check_context(std::string_view json) {
    try {
        EventMeta meta;
        read_context(meta, json);
    } catch (const JsonGaveUp&) {
        throw Invalid("whisperer.context is not a JSON object",
                      R"(For example {"actor": "ann", "request_id": "r1"}.)");
    }
}

void check_idempotency_key(std::string_view key) {
    if (key.empty() || key.size() > idempotency_key_bytes_max)
        throw Invalid("idempotency_key must have 1 to " +
                      std::to_string(idempotency_key_bytes_max) + " bytes");
    for (char c : key)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            throw Invalid("idempotency_key must not contain control characters");
}

}  // namespace whisperer::engine
