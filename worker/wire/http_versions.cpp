// Asks libcurl for its version.
#include "worker/wire/http_versions.h"

#include <curl/curl.h>

namespace whisperer::engine {
namespace {

bool knows_http2(const curl_version_info_data& libcurl) {
    return (libcurl.features & CURL_VERSION_HTTP2) != 0;
}

}  // namespace

bool speaks_http2() {
    const curl_version_info_data& libcurl = *curl_version_info(CURLVERSION_NOW);
    return knows_http2(libcurl) && libcurl.version_num >= http2_libcurl_min;
}

bool may_read_freed_line() {
    static const bool may = curl_version_info(CURLVERSION_NOW)->version_num < 0x080101;
    return may;
}

std::string http_versions_text() {
    const curl_version_info_data& libcurl = *curl_version_info(CURLVERSION_NOW);
    const std::string name = std::string("libcurl ") + libcurl.version;
    if (speaks_http2())
        return "HTTP/1.1 and HTTP/2 (" + name + ")";
    return "HTTP/1.1 (" + name +
           (knows_http2(libcurl) ? " loses early answers over HTTP/2)" : " has no HTTP/2)");
}

}  // namespace whisperer::engine
