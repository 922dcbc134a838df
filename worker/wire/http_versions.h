// Which versions of HTTP this process speaks.  The libcurl that it runs with decides, not the one
// that it was built with.
#pragma once
#include <string>

namespace whisperer::engine {

// An answer that comes before the body was read is lost by older versions of libcurl over HTTP/2:
// they take the end of the stream for an error.  8.14.1 is the oldest that was seen to do better.
inline constexpr unsigned http2_libcurl_min = 0x080e01;

bool speaks_http2();
// Before 8.1.1 libcurl may read what is freed where the first header line of an answer is none, if
// the handle had an answer before (curl's issue 11101).  So that line has to be looked at before
// libcurl stores it.
bool may_read_freed_line();
// For people, with the reason.
std::string http_versions_text();

}  // namespace whisperer::engine
