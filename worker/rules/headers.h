// Header lines that are the same for every request of a hook.
//
// Invariant: no line holds CR, LF, NUL or another control byte, and nobody's additional header can
// replace one of ours.  Made by Hook; whisperer_check_headers runs the same rules in a backend.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace whisperer::engine {

inline constexpr std::size_t additional_headers_max = 32;
inline constexpr std::size_t additional_header_bytes_max = 8192;

// "Name: value"; an empty value is written "Name;", which is how libcurl is told to send one.
using HeaderLines = std::vector<std::string>;

// Throws Invalid if nobody but us may set it, or if it is no name.
void check_header_name(std::string_view name);

// A JSON object of strings to lines.  Names are RFC 9110 tokens.  Reserved, because the engine or
// HTTP itself decides them: content-type, content-length, content-encoding, host, connection,
// keep-alive, expect, te, trailer, transfer-encoding, upgrade, http2-settings, proxy-*, webhook-*
// and x-whisperer-*.  User-Agent may be replaced.  Throws Invalid, naming the header.
HeaderLines parse_additional_headers(std::string_view json);

// All the constant lines of a hook: the additional ones, then ours.  Content-Type is the event's.
HeaderLines hook_header_lines(HeaderLines additional_headers, std::string_view hook_id,
                              std::string_view user_agent);

// Any text as a header, as the HTTP protocol binding of CloudEvents has it: what is not printable
// ASCII, a space, " and % are percent-encoded.
std::string encoded_line(const char* name, std::string_view value);

// Whether one of the lines is for the name, which is given in lower case.
bool sets_header(const HeaderLines& lines, std::string_view lower_name);

// Adds those lines to which none of these has the same name.
void add_apart(const HeaderLines& lines, std::initializer_list<const HeaderLines*> others,
               HeaderLines& to);

// No control character but the tab.
bool is_field_value(std::string_view value);

}  // namespace whisperer::engine
