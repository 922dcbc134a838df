// Parameters of path and query; see parameters.h.
#include "parameters.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "encoding.h"
#include "json_text.h"
#include "problem.h"
#include "text.h"
#include "time_text.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t text_bytes_max = 4096;
constexpr int limit_default = 50;

// Digits alone, within bounds.
template <typename Number>
std::optional<Number> number_of(std::string_view text, Number least, Number most) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_whole = error == std::errc{} && end == text.data() + text.size();
    if (!is_whole || text.front() == '-' || number < least || number > most)
        return std::nullopt;
    return number;
}

std::optional<std::string> uuid_of(std::string_view text) {
    std::string digits;
    for (std::size_t i = 0; i < text.size(); i++) {
        const bool is_dash = text.size() == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        const auto c = static_cast<unsigned char>(text[i]);
        if (is_dash && c == '-')
            continue;
        if (is_dash || !(is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
            return std::nullopt;
        digits += text[i];
    }
    return digits.size() == 32 ? std::optional(digits) : std::nullopt;
}

using Values = std::optional<std::vector<Value>>;

Values one(std::optional<std::string> value) {
    return value ? Values({std::move(*value)}) : std::nullopt;
}

template <typename Number>
Values one_number(std::string_view text, Number least, Number most, Number more = 0) {
    const auto number = number_of<Number>(text, least, most);
    return number ? Values({std::to_string(*number + more)}) : std::nullopt;
}

Values delivery_of(std::string_view text) {
    const std::size_t dash = text.rfind('-');
    if (dash == std::string_view::npos || dash != 32)
        return std::nullopt;
    const auto uuid = uuid_of(text.substr(0, dash));
    const auto hook = one_number<std::int64_t>(text.substr(dash + 1), 1, INT64_MAX);
    if (!uuid || !hook)
        return std::nullopt;
    return Values({*uuid, hook->front()});
}

bool is_text(std::string_view text) {
    return text.size() <= text_bytes_max && text.find('\0') == std::string_view::npos &&
           is_utf8(text);
}

std::optional<std::string> text_of_hex(std::string_view hex) {
    std::string text;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        unsigned byte = 0;
        const auto [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
        if (error != std::errc{} || end != hex.data() + i + 2)
            return std::nullopt;
        text += static_cast<char>(byte);
    }
    return is_text(text) ? std::optional(text) : std::nullopt;
}

Values cursor_of(std::string_view text, Values (*id_of)(std::string_view)) {
    const std::size_t dot = text.find('.');
    Values values = id_of(text.substr(0, dot));
    if (!values)
        return std::nullopt;
    values->emplace_back();
    if (dot == std::string_view::npos)
        return values;
    const std::string_view hex = text.substr(dot + 1);
    values->back() = hex.size() % 2 == 0 ? text_of_hex(hex) : std::nullopt;
    return values->back() ? values : std::nullopt;
}

Values id_of(std::string_view text) {
    return one_number<std::int64_t>(text, 1, INT64_MAX);
}

Values event_of(std::string_view text) {
    return one(uuid_of(text));
}

// Nothing: the text is not of the kind.
Values values_of(std::string_view text, const Parameter& parameter) {
    switch (parameter.kind) {
        case Kind::Id:
            return id_of(text);
        case Kind::Uuid:
            return event_of(text);
        case Kind::DeliveryId:
            return delivery_of(text);
        case Kind::HookCursor:
            return cursor_of(text, id_of);
        case Kind::EventCursor:
            return cursor_of(text, event_of);
        case Kind::DeliveryCursor:
            return cursor_of(text, delivery_of);
        case Kind::Integer:
            return one_number<std::int32_t>(text, 0, INT32_MAX);
        case Kind::Hours:
            return one_number<std::int32_t>(text, 1, 24);
        case Kind::Limit:
            return one_number<std::int32_t>(text, 1, limit_max, 1);
        case Kind::Time:
            return one(time_of(text));
        case Kind::Boolean:
            if (text == "true" || text == "false" || text == "True" || text == "False")
                return one(to_lower(text));
            return std::nullopt;
        case Kind::Choice:
            if (text.find(' ') == std::string_view::npos &&
                parameter.choices.find(" " + std::string(text) + " ") != std::string::npos)
                return one(std::string(text));
            return std::nullopt;
        case Kind::Text:
            if (is_text(text))
                return one(std::string(text));
            return std::nullopt;
        case Kind::Database:
            return is_text(text) ? Values(std::in_place) : std::nullopt;
    }
    return std::nullopt;
}

std::string wanted(const Parameter& parameter) {
    switch (parameter.kind) {
        case Kind::Id:
            return "must be the id of a hook";
        case Kind::Uuid:
            return "must be the id of an event: 32 hex digits";
        case Kind::DeliveryId:
            return "must be the id of a delivery: 32 hex digits, a dash, and the id of a hook";
        case Kind::HookCursor:
        case Kind::EventCursor:
        case Kind::DeliveryCursor:
            return "must be as next of the page before has it";
        case Kind::Integer:
            return "must be an integer from 0 to 2147483647";
        case Kind::Hours:
            return "must be an integer from 1 to 24";
        case Kind::Limit:
            return "must be an integer from 1 to " + std::to_string(limit_max);
        case Kind::Time:
            return "must be a time in ISO 8601, as in 2024-05-01T12:00:00Z";
        case Kind::Boolean:
            return "must be true or false";
        case Kind::Choice:
            return "must be one of" + parameter.choices.substr(0, parameter.choices.size() - 1);
        case Kind::Text:
        case Kind::Database:
            break;
    }
    return "must be text in UTF-8 without NUL, at most " + std::to_string(text_bytes_max) +
           " bytes";
}

std::size_t count_of(Kind kind) {
    if (kind == Kind::Database)
        return 0;
    if (kind == Kind::DeliveryCursor)
        return 3;
    return kind == Kind::DeliveryId || kind == Kind::HookCursor || kind == Kind::EventCursor ? 2
                                                                                             : 1;
}

void append_absent(const Request& request, const Parameter& parameter, std::vector<Value>& values) {
    if (parameter.kind == Kind::Limit)
        // Who expects no pages gets as few as there can be.
        values.emplace_back(
            std::to_string((wants_dj_whisperer(request.accept) ? limit_max : limit_default) + 1));
    else if (parameter.kind == Kind::Hours)
        values.emplace_back("24");
    else
        values.insert(values.end(), count_of(parameter.kind), std::nullopt);
}

void refuse_unknown(const Request& request, const std::vector<Parameter>& parameters) {
    for (const auto& [name, value] : request.params)
        if (std::none_of(parameters.begin(), parameters.end(),
                         [&name = name](const Parameter& known) { return known.name == name; }))
            throw bad_field(name, "is not a parameter of this resource");
}

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (is_letter_or_digit(byte) || c == '-' || c == '_' || c == '.' || c == '~')
            encoded += c;
        else
            (encoded += '%').append({"0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]});
    }
    return encoded;
}

}  // namespace

std::vector<Value> read_parameters(const Request& request, const std::vector<Parameter>& parameters,
                                   const std::vector<std::string>& path_parts) {
    refuse_unknown(request, parameters);
    std::vector<Value> values;
    std::size_t of_path = 0;
    for (const Parameter& parameter : parameters) {
        if (of_path < path_parts.size()) {
            const Values read = values_of(path_parts[of_path++], parameter);
            if (!read)
                throw not_found("there is nothing here");
            values.insert(values.end(), read->begin(), read->end());
            continue;
        }
        const auto [first, last] = request.params.equal_range(parameter.name);
        if (first == last) {
            append_absent(request, parameter, values);
            continue;
        }
        if (std::next(first) != last)
            throw bad_field(parameter.name, "is given more than once");
        if (parameter.is_of_each) {
            append_absent(request, parameter, values);
            continue;
        }
        const Values read = values_of(first->second, parameter);
        if (!read)
            throw bad_field(parameter.name, wanted(parameter));
        values.insert(values.end(), read->begin(), read->end());
    }
    return values;
}

std::vector<Place> read_places(const Request& request, const std::vector<Parameter>& parameters,
                               std::size_t count) {
    const auto cursor =
        std::find_if(parameters.begin(), parameters.end(),
                     [](const Parameter& parameter) { return parameter.is_of_each; });
    const Place beginning{"", std::vector<Value>(count_of(cursor->kind))};
    const auto found = request.params.find(cursor->name);
    if (found == request.params.end())
        return std::vector<Place>(count, beginning);
    std::vector<Place> places;
    const std::string_view all = found->second;
    for (std::size_t at = 0; at <= all.size();) {
        const std::string_view text = all.substr(at, all.find('~', at) - at);
        at += text.size() + 1;
        const Values values = text.empty() ? Values(beginning.values) : values_of(text, *cursor);
        if (!values)
            throw bad_field(cursor->name, wanted(*cursor));
        places.push_back({std::string(text), *values});
    }
    if (places.size() != count)
        throw bad_field(cursor->name, wanted(*cursor));
    return places;
}

std::string next_page(const Request& request, std::string_view cursor) {
    std::string url = "?";
    for (const auto& [name, value] : request.params)
        if (name != "cursor")
            url += percent_encoded(name) + "=" + percent_encoded(value) + "&";
    return url + "cursor=" + percent_encoded(cursor);
}

}  // namespace whisperer::gateway
