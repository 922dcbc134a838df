// Reads and checks the JSON of a hook's signing.
#include "worker/rules/signing.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "worker/base/clean_text.h"
#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/base/json_texts.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view body_placeholder = "{body}";
constexpr std::array<std::string_view, 6> known_keys = {"header",  "value",     "content",
                                                        "overlap", "algorithm", "time_header"};

[[noreturn]] void refuse(std::string_view key, const std::string& what, std::string hint = {}) {
    throw Invalid("signing." + std::string(key) + " " + what, std::move(hint));
}

// The text of a key; fallback: if it is not there.
std::string text_of(const std::vector<JsonText>& signing, const char* key, const char* fallback) {
    const auto found = std::find_if(signing.begin(), signing.end(),
                                    [&](const JsonText& one) { return one.key == key; });
    if (found == signing.end() && fallback != nullptr)
        return fallback;
    if (found == signing.end())
        refuse(key, "is missing");
    if (!found->text || found->text->empty())
        refuse(key, "must be a text that is not empty");
    if (found->text->size() > signing_text_bytes_max)
        refuse(key, "is longer than 256 bytes");
    if (!is_field_value(*found->text))
        refuse(key, "contains a control character");
    return *found->text;
}

// How often the placeholders stand in it that are counted.
int check_template(std::string_view key, std::string_view text,
                   std::initializer_list<std::string_view> allowed,
                   std::initializer_list<std::string_view> counted) {
    int count = 0;
    std::string hint = "Known here are";
    for (std::string_view name : allowed)
        hint += " " + std::string(name);
    for (std::size_t at = text.find_first_of("{}"); at != std::string_view::npos;
         at = text.find_first_of("{}", at)) {
        const std::size_t end = text.find('}', at);
        const std::string_view name =
            text.substr(at, end == std::string_view::npos ? end : end - at + 1);
        if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
            refuse(key, "has an unknown placeholder \"" + to_clean_line(name, 64) + '"',
                   hint + ".");
        count += std::find(counted.begin(), counted.end(), name) != counted.end() ? 1 : 0;
        at += name.size();
    }
    return count;
}

void check_value(const char* key, std::string_view value) {
    if (check_template(key, value, {"{hex}", "{base64}", "{time}", "{id}"},
                       {"{hex}", "{base64}"}) != 1)
        refuse(key, "must have {hex} or {base64}, once");
}

void check_header(const char* key, const std::string& name) {
    try {
        check_header_name(name);
    } catch (const Invalid& invalid) {
        refuse(key, std::string("is no good: ") + invalid.what(), invalid.hint());
    }
    if (to_lower(name) == "authorization")
        refuse(key, "must not be Authorization", "config.auth has credentials for the receiver.");
}

std::string digest_of(const std::string& algorithm) {
    for (const auto& [name, digest] :
         {std::pair("sha256", "SHA256"), std::pair("sha1", "SHA1"), std::pair("sha512", "SHA512")})
        if (algorithm == name)
            return digest;
    refuse("algorithm", "is unknown", "Known are sha256, sha1 and sha512.");
}

std::vector<JsonText> read_known_keys(std::string_view json) {
    auto signing = read_json_texts(json);
    if (!signing)
        throw Invalid("signing is not a JSON object");
    for (const JsonText& one : *signing)
        if (std::find(known_keys.begin(), known_keys.end(), one.key) == known_keys.end())
            throw Invalid("signing has an unknown key \"" + to_clean_line(one.key, 64) + '"',
                          "Known are header, value, content, overlap, algorithm and time_header.");
    std::erase_if(*signing, [](const JsonText& one) { return one.is_null; });
    return std::move(*signing);
}

}  // namespace

Signing Signing::parse(std::string_view json) {
    Signing made;
    if (json.empty() || json == "null")
        return made;
    const std::vector<JsonText> signing = read_known_keys(json);
    made.header = text_of(signing, "header", nullptr);
    check_header("header", made.header);
    made.value = text_of(signing, "value", nullptr);
    check_value("value", made.value);
    made.overlap = text_of(signing, "overlap", "");
    if (!made.overlap.empty())
        check_value("overlap", made.overlap);
    made.time_header = text_of(signing, "time_header", "");
    if (!made.time_header.empty())
        check_header("time_header", made.time_header);
    if (to_lower(made.time_header) == to_lower(made.header))
        refuse("time_header", "is the same as signing.header");
    made.digest = digest_of(text_of(signing, "algorithm", "sha256"));
    const std::string content = text_of(signing, "content", "{body}");
    if (check_template("content", content, {"{body}", "{time}", "{id}"}, {"{body}"}) != 1)
        refuse("content", "must have {body}, once");
    const std::size_t body = content.find(body_placeholder);
    made.before_body = content.substr(0, body);
    made.behind_body = content.substr(body + body_placeholder.size());
    return made;
}

void Signing::check_beside(const HeaderLines& additional_headers) const {
    for (const std::string& name : {header, time_header})
        if (!name.empty() && sets_header(additional_headers, to_lower(name)))
            throw Invalid("header \"" + name + "\" is set by additional_headers and by signing",
                          "Remove it from one of them.");
}

std::string filled(std::string_view text, const SignedParts& parts) {
    std::string out;
    while (!text.empty()) {
        const std::size_t at = std::min(text.find('{'), text.size());
        out += text.substr(0, at);
        text.remove_prefix(at);
        if (text.empty())
            break;
        const std::string_view name = text.substr(0, text.find('}') + 1);
        if (name == "{hex}")
            out += to_hex(parts.signature);
        else if (name == "{base64}")
            out += to_base64(parts.signature);
        else
            out += name == "{time}" ? parts.time : parts.id;
        text.remove_prefix(name.size());
    }
    return out;
}

}  // namespace whisperer::engine
