// RFC 8259 by hand; see the header for why.
#include "worker/base/json_scanner.h"

#include <algorithm>
#include <charconv>

namespace whisperer::engine {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void append_utf8(std::string& text, std::uint32_t point) {
    const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xC0 | point >> 6);
        put(0x80 | (point & 63));
    } else if (point < 0x10000) {
        put(0xE0 | point >> 12);
        put(0x80 | (point >> 6 & 63));
        put(0x80 | (point & 63));
    } else {
        put(0xF0 | point >> 18);
        put(0x80 | (point >> 12 & 63));
        put(0x80 | (point >> 6 & 63));
        put(0x80 | (point & 63));
    }
}

// Four hex digits at the place; the scanner has checked them.
std::uint32_t hex4(std::string_view raw, std::size_t at) {
    std::uint32_t value = 0;
    std::from_chars(raw.data() + at, raw.data() + at + 4, value, 16);
    return value;
}

char plain_escape(char c) {
    switch (c) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return c;
    }
}

}  // namespace

std::string decode_json_string(std::string_view raw) {
    std::string text;
    text.reserve(raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) {
        if (raw[i] != '\\') {
            text += raw[i];
            continue;
        }
        ++i;
        if (raw[i] != 'u') {
            text += plain_escape(raw[i]);
            continue;
        }
        std::uint32_t point = hex4(raw, i + 1);
        i += 4;
        const bool high = point >= 0xD800 && point < 0xDC00;
        if (high && raw.substr(i + 1, 2) == "\\u") {
            const std::uint32_t low = hex4(raw, i + 3);
            if (low >= 0xDC00 && low < 0xE000) {
                point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
                i += 6;
            }
        }
        append_utf8(text, point);
    }
    return text;
}

JsonNumber::JsonNumber(std::string_view text) {
    negative = text.starts_with('-');
    text.remove_prefix(negative ? 1 : 0);
    const std::size_t e = std::min(text.find_first_of("eE"), text.size());
    read_exponent(text.substr(e));
    for (bool behind_point = false; char c : text.substr(0, e)) {
        behind_point = behind_point || c == '.';
        if (c == '.')
            continue;
        exponent -= behind_point ? 1 : 0;
        if (!digits.empty() || c != '0')
            digits += c;
    }
    while (!digits.empty() && digits.back() == '0') {
        digits.pop_back();
        ++exponent;
    }
    if (digits.empty()) {
        negative = false;
        exponent = 0;
    }
}

// Beyond 10^17 an exponent is only "huge": two different such numbers pass for the same.
void JsonNumber::read_exponent(std::string_view text) {
    if (text.empty())
        return;
    text.remove_prefix(1);
    const bool below = text.starts_with('-');
    text.remove_prefix(text.front() == '-' || text.front() == '+' ? 1 : 0);
    constexpr std::int64_t huge = 100'000'000'000'000'000;
    for (char c : text)
        exponent = std::min(exponent * 10 + (c - '0'), huge);
    exponent = below ? -exponent : exponent;
}

void JsonScanner::spend(std::size_t bytes) {
    *steps_ -= 1 + static_cast<std::int64_t>(bytes / 64);
    if (*steps_ < 0)
        throw JsonGaveUp{};
}

// The next character that is not space; '\0' at the end.
char JsonScanner::look() {
    const std::size_t from = at_;
    while (at_ < text_.size() && is_space(text_[at_]))
        ++at_;
    if (at_ - from >= 64)
        spend(at_ - from);
    return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonScanner::expect(char c) {
    if (look() != c)
        throw JsonGaveUp{};
    ++at_;
}

JsonKind JsonScanner::peek() {
    switch (const char c = look()) {
        case '{':
            return JsonKind::Object;
        case '[':
            return JsonKind::Array;
        case '"':
            return JsonKind::String;
        case 't':
            return JsonKind::True;
        case 'f':
            return JsonKind::False;
        case 'n':
            return JsonKind::Null;
        default:
            if (c != '-' && !is_digit(c))
                throw JsonGaveUp{};
            return JsonKind::Number;
    }
}

std::string_view JsonScanner::take_string() {
    expect('"');
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') {
        if (static_cast<unsigned char>(text_[at_]) < 0x20)
            throw JsonGaveUp{};
        if (text_[at_] == '\\') {
            ++at_;
            const char c = at_ < text_.size() ? text_[at_] : '\0';
            const std::string_view digits = text_.substr(std::min(at_ + 1, text_.size()), 4);
            const bool is_unicode =
                c == 'u' && digits.size() == 4 && std::all_of(digits.begin(), digits.end(), is_hex);
            if (c == '\0' ||
                (!is_unicode && std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos))
                throw JsonGaveUp{};
        }
        ++at_;
    }
    const std::string_view raw = text_.substr(begin, at_ - begin);
    expect('"');
    spend(raw.size());
    return raw;
}

std::string_view JsonScanner::take_number() {
    const std::size_t begin = at_;
    const auto digits = [&] {
        const std::size_t from = at_;
        while (at_ < text_.size() && is_digit(text_[at_]))
            ++at_;
        if (at_ == from)
            throw JsonGaveUp{};
    };
    const auto next_is = [&](char c) { return at_ < text_.size() && text_[at_] == c; };
    at_ += next_is('-') ? 1 : 0;
    if (next_is('0'))
        ++at_;
    else
        digits();
    if (next_is('.')) {
        ++at_;
        digits();
    }
    if (next_is('e') || next_is('E')) {
        ++at_;
        at_ += next_is('+') || next_is('-') ? 1 : 0;
        digits();
    }
    spend(at_ - begin);
    return text_.substr(begin, at_ - begin);
}

std::string_view JsonScanner::take_literal(std::string_view literal) {
    if (text_.substr(at_, literal.size()) != literal)
        throw JsonGaveUp{};
    at_ += literal.size();
    spend(0);
    return literal;
}

std::string_view JsonScanner::take_scalar() {
    switch (peek()) {
        case JsonKind::String:
            return take_string();
        case JsonKind::Number:
            return take_number();
        case JsonKind::True:
            return take_literal("true");
        case JsonKind::False:
            return take_literal("false");
        case JsonKind::Null:
            return take_literal("null");
        default:
            throw JsonGaveUp{};
    }
}

void JsonScanner::enter() {
    spend(0);
    peek();
    ++at_;
    entered_ = true;
}

bool JsonScanner::next_element() {
    const bool first = entered_;
    entered_ = false;
    if (look() == ']') {
        ++at_;
        return false;
    }
    if (!first) {
        expect(',');
        if (look() == ']')
            throw JsonGaveUp{};
    }
    return true;
}

bool JsonScanner::next_member(std::string_view& raw_key) {
    const bool first = entered_;
    entered_ = false;
    if (look() == '}') {
        ++at_;
        return false;
    }
    if (!first)
        expect(',');
    raw_key = take_string();
    expect(':');
    return true;
}

void JsonScanner::skip_value() {
    std::vector<bool> open;  // the containers around us; true: object
    do {
        std::string_view key;
        const bool has_value = open.empty() || (open.back() ? next_member(key) : next_element());
        if (!has_value) {
            open.pop_back();
            continue;
        }
        const JsonKind kind = peek();
        if (kind == JsonKind::Object || kind == JsonKind::Array) {
            enter();
            open.push_back(kind == JsonKind::Object);
        } else {
            take_scalar();
        }
    } while (!open.empty());
    entered_ = false;
}

void JsonScanner::expect_end() {
    if (look() != '\0' || at_ != text_.size())
        throw JsonGaveUp{};
}

void JsonScanner::validate(std::string_view text, std::int64_t& steps) {
    JsonScanner scanner(text, steps);
    scanner.skip_value();
    scanner.expect_end();
}

}  // namespace whisperer::engine
