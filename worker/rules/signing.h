// A signature header of a hook's own, for receivers that know somebody else's scheme: which header,
// what stands in it, and what is signed.
//
// A template has placeholders in braces; any other brace is refused.  The key is the whole secret
// as text.  Parsed by Hook; Signer fills it in.
#pragma once
#include <string>
#include <string_view>

#include "worker/rules/headers.h"

namespace whisperer::engine {

inline constexpr std::size_t signing_text_bytes_max = 256;

struct SignedParts {
    std::string_view id;
    std::string_view time;       // seconds since 1970
    std::string_view signature;  // as it is, neither hex nor base64
};

struct Signing {
    std::string header;       // empty: there is no such signature
    std::string value;        // {hex} or {base64}, {time}, {id}
    std::string overlap;      // added for the previous secret; empty: only the previous one signs
    std::string time_header;  // has the time alone; empty: none
    // What is signed: the text before {body}, the body, the text behind it.
    std::string before_body;
    std::string behind_body;
    std::string digest = "SHA256";

    // Empty or JSON null: none.  Throws Invalid, naming the key.
    static Signing parse(std::string_view json);

    bool is_set() const { return !header.empty(); }
    // Throws Invalid if they set one of its headers.
    void check_beside(const HeaderLines& additional_headers) const;
};

// A checked template with its placeholders filled in.
std::string filled(std::string_view text, const SignedParts& parts);

}  // namespace whisperer::engine
