// What is wrong with a request, thrown from wherever it is found and turned into an answer in one
// place (gateway.cpp).  The texts reach clients: no SQL, no secret, nothing of the server's inside.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "http.h"

namespace whisperer::gateway {

struct Problem {
    int status;
    std::string code;     // for programs: lower case, words joined by _
    std::string message;  // for people: lower case start, no full stop
    std::string hint = {};
    std::map<std::string, std::vector<std::string>> errors = {};  // by field
    int retry_after_s = 0;                                        // 0: not said
    std::string allow = {};                                       // methods, of a 405
    bool is_busy = false;  // of a 503: others have what there is
};

Problem bad_field(std::string_view field, std::string message);
Problem not_found(std::string message);
Problem unavailable(std::string message, int retry_after_s);

// With every header but X-Request-Id.
Answer answer_of(const Problem& problem, const std::string& request_id);

}  // namespace whisperer::gateway
