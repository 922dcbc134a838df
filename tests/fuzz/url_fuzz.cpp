// A target URL that is accepted means one thing only, to us and to libcurl.
#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "tests/fuzz/property.h"
#include "worker/rules/address_guard.h"
#include "worker/rules/url.h"

using namespace whisperer::engine;

namespace {

bool same(const Target& a, const Target& b) {
    return a.host == b.host && a.port == b.port && a.https == b.https &&
           a.host_is_address == b.host_is_address;
}

std::string part(const std::string& url, CURLUPart what) {
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
    char* text = nullptr;
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
        curl_url_get(parsed.get(), what, &text, 0) != CURLUE_OK)
        return {};
    std::string result(text);
    curl_free(text);
    return result;
}

void check_host(const Target& target) {
    HOLDS(!target.host.empty() && target.port != 0);
    HOLDS(target.host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-._:") ==
          std::string::npos);
    const auto address = Address::parse(target.host);
    HOLDS(address.has_value() == target.host_is_address);
    HOLDS(address || target.host.find(':') == std::string::npos);
    const bool bracketed = address && address->v6;
    const std::string plain = (target.https ? "https://" : "http://") +
                              (bracketed ? '[' + target.host + ']' : target.host) + ':' +
                              std::to_string(target.port) + '/';
    HOLDS(same(parse_url(plain, false), target));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string url(text_of(data, size));
    try {
        const Target target = parse_url(url, false);
        const bool is_ascii =
            std::all_of(url.begin(), url.end(), [](unsigned char c) { return c < 0x80; });
        HOLDS((target.url == url) == is_ascii && target.url.size() <= url_bytes_max);
        HOLDS(!has_control(target.url));
        HOLDS(same(parse_url(target.url, false), target));
        HOLDS(parse_url(target.url, false).url == target.url);
        HOLDS(part(url, CURLUPART_USER).empty() && part(url, CURLUPART_PASSWORD).empty() &&
              part(url, CURLUPART_FRAGMENT).empty());
        HOLDS((part(url, CURLUPART_SCHEME) == "https") == target.https);
        check_host(target);
        try {
            parse_url(url, true);
            HOLDS(target.https);
        } catch (const Invalid&) {
            HOLDS(!target.https);
        }
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    return 0;
}
