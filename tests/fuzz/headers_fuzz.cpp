// Header lines: whatever JSON a person gives, no line holds a control byte or replaces one of ours.
#include "worker/rules/headers.h"

#include "tests/fuzz/property.h"
#include "worker/base/encoding.h"

using namespace whisperer::engine;

namespace {

void check_line(const std::string& line) {
    constexpr std::string_view token =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    const std::size_t end = line.find_first_of(":;");
    HOLDS(end != std::string::npos && end > 0);
    HOLDS(line.find_first_not_of(token) == end);
    HOLDS(line[end] == ';' ? end + 1 == line.size() : line.compare(end, 2, ": ") == 0);
    for (char c : line)
        HOLDS(c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    const std::string name = to_lower(std::string_view(line).substr(0, end));
    for (const char* ours : {"content-type", "content-length", "content-encoding", "host", "expect",
                             "transfer-encoding", "connection", "te", "trailer", "upgrade"})
        HOLDS(name != ours);
    for (const char* ours : {"webhook-", "x-whisperer-", "proxy-"})
        HOLDS(!name.starts_with(ours));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view json = text_of(data, size);
    try {
        const HeaderLines lines = parse_additional_headers(json);
        HOLDS(lines.size() <= additional_headers_max);
        std::size_t bytes = 0;
        for (const std::string& line : lines) {
            check_line(line);
            bytes += line.size();
        }
        HOLDS(bytes <= additional_header_bytes_max);
        const HeaderLines all = hook_header_lines(lines, "42", "whisperer/1.0");
        const auto count = [&](std::string_view name) {
            return std::count_if(all.begin(), all.end(), [&](const std::string& line) {
                return to_lower(line).starts_with(name);
            });
        };
        HOLDS(count("content-type:") == 1 && count("expect:") == 1);
        HOLDS(count("x-whisperer-hook:") == 1);
        HOLDS(count("user-agent:") + count("user-agent;") == 1);
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    return 0;
}
