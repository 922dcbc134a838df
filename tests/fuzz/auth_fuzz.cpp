// config.auth: what is accepted sends no control byte, what is not is refused with a message that
// can be shown and that says nothing of the values; and a server's answer to a request for a token
// never makes a bad header.  Before the first NUL is the config, after it the answer.
#include "worker/rules/auth.h"
#include "tests/fuzz/property.h"

using namespace whisperer::engine;

namespace {

void check_line(const std::string& line) {
    HOLDS(line.empty() || line.rfind("Authorization: ", 0) == 0);
    HOLDS(!has_control(line));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = text_of(data, size);
    const std::size_t end = std::min(text.find('\0'), text.size());
    try {
        const Auth auth = Auth::parse(text.substr(0, end), "whisperer/1", false);
        check_line(auth.constant_line());
        if (!auth.fetches_token())
            return 0;
        for (const std::string& header : auth.token_headers())
            HOLDS(!has_control(header));
        const FetchedToken token = auth.read_token(text.substr(std::min(end + 1, text.size())));
        check_line(token.line);
        HOLDS(token.line.empty() == !token.error.empty());
        HOLDS(!has_control(token.error) && is_utf8(token.error));
        HOLDS(!token.lifetime ||
              (token.lifetime->count() >= 0 && *token.lifetime <= token_lifetime_max));
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    return 0;
}
