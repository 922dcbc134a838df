// Checks by hand what a URL parser forgives, then lets libcurl parse.
#include "worker/rules/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using ParsedUrl = std::unique_ptr<CURLU, FreeUrl>;

struct FreeText {
    void operator()(char* text) const { curl_free(text); }
};

std::string part_of(CURLU* url, CURLUPart part) {
    char* text = nullptr;
    if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return {};
    const std::unique_ptr<char, FreeText> owner(text);
    return text;
}

void check_characters(std::string_view url) {
    if (url.empty())
        throw Invalid("URL is empty");
    if (url.size() > url_bytes_max)
        throw Invalid("URL is longer than 2048 bytes");
    for (char c : url) {
        if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
            throw Invalid("URL contains a space or control character",
                          "Percent-encode it, a space as %20.");
        if (c == '\\')
            throw Invalid("URL contains a backslash", "Percent-encode it as %5C.");
    }
    if (url.find('#') != std::string_view::npos)
        throw Invalid("URL has a fragment", "Leave out # and what follows; it is never sent.");
}

// What is not ASCII, as libcurl would send the path, and servers differ about the query.
std::string encoded(std::string_view url) {
    constexpr char digits[] = "0123456789ABCDEF";
    const std::size_t path = std::min(url.find_first_of("/?", url.find("//") + 2), url.size());
    std::string result(url.substr(0, path));
    for (char c : url.substr(path)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80)
            result += c;
        else
            result.append({'%', digits[byte >> 4], digits[byte & 15]});
    }
    return result;
}

// Scheme and host in lower case, no port that is the scheme's, and a path (RFC 3986, 6.2.2.1
// and 6.2.3): what goes to one place is written in one way.
std::string normalized(const std::string& url, bool is_default_port) {
    const std::size_t host = url.find("//") + 2;
    const std::size_t path = std::min(url.find_first_of("/?", host), url.size());
    const std::size_t zone = std::min(url.find('%'), path);  // names a network interface
    std::string result = to_lower(url.substr(0, zone)) + url.substr(zone, path - zone);
    const std::size_t colon = result.find(':', std::max(host, result.rfind(']') + 1));
    if (is_default_port && colon != std::string::npos)
        result.erase(colon);
    if (path == url.size() || url[path] == '?')
        result += '/';
    return result + url.substr(path);
}

// Lower case by now; a colon is an IPv6 address's.
bool is_host_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("-._:").find(c) != std::string_view::npos;
}

[[noreturn]] void throw_bad_host() {
    throw Invalid("URL has a host with a character that no host name has",
                  "Write an international name in its xn-- form.");
}

// libcurl would map other characters to ASCII ones only when it connects, some of them to digits
// and dots: what has been looked at here would then not be where it goes.
void check_host(const std::string& host) {
    if (!std::all_of(host.begin(), host.end(), is_host_character))
        throw_bad_host();
}

bool is_address(const std::string& host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
           inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

Target parse_url(std::string_view url, bool require_https) {
    check_characters(url);
    const std::string lower = to_lower(url.substr(0, 8));
    Target target;
    target.https = lower == "https://";
    if (!target.https && !lower.starts_with("http://"))
        throw Invalid("URL does not start with http:// or https://");
    if (!target.https && require_https)
        throw Invalid("URL must start with https://", "whisperer.require_https is on.");
    std::string_view authority = url.substr(target.https ? 8 : 7);
    authority = authority.substr(0, authority.find_first_of("/?"));
    if (authority.find('@') != std::string_view::npos)
        throw Invalid("URL contains a user name or password",
                      "Use auth in the hook's config for credentials.");
    if (authority.empty() || authority.front() == ':')
        throw Invalid("URL has no host");

    target.url = encoded(url);
    if (target.url.size() > url_bytes_max)
        throw Invalid("URL is longer than 2048 bytes when what is not ASCII is percent-encoded");
    const ParsedUrl parsed(curl_url());
    if (parsed == nullptr)
        throw std::bad_alloc();
    const CURLUcode code = curl_url_set(parsed.get(), CURLUPART_URL, target.url.c_str(), 0);
    if (code == CURLUE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (code == CURLUE_BAD_HOSTNAME)  // newer versions of libcurl find more of them
        throw_bad_host();
    if (code != CURLUE_OK)
        throw Invalid(std::string("URL is not valid: ") + to_lower(curl_url_strerror(code)));
    target.host = to_lower(part_of(parsed.get(), CURLUPART_HOST));
    if (target.host.size() > 2 && target.host.front() == '[')
        target.host = target.host.substr(1, target.host.size() - 2);
    if (target.host.empty())
        throw Invalid("URL has no host");
    check_host(target.host);
    const std::string port = part_of(parsed.get(), CURLUPART_PORT);
    const unsigned long port_number = port.empty() ? 0 : std::stoul(port);
    if (port_number == 0 || port_number > 65535)
        throw Invalid("URL has a port that is not between 1 and 65535");
    target.port = static_cast<std::uint16_t>(port_number);
    target.host_is_address = is_address(target.host);
    target.url = normalized(target.url, target.port == (target.https ? 443 : 80));
    if (target.url.size() > url_bytes_max)
        throw Invalid("URL is longer than 2048 bytes when its path is written out");
    return target;
}

}  // namespace whisperer::engine
