// See the header.
#include "worker/base/json_pattern.h"

#include <re2/re2.h>

#include <string>

#include "worker/base/clean_text.h"
#include "worker/engine.h"

namespace whisperer::engine {
namespace {

// Without a log nothing is written to standard error: what is wrong, error() says.  RE2 has no
// other way out, starts no thread, and throws nothing of its own.
RE2::Options bounded() {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_never_capture(true);
    options.set_max_mem(WHISPERER_PATTERN_MEMORY_BYTES);
    return options;
}

std::unique_ptr<const RE2> compiled(std::string_view pattern) {
    if (pattern.size() > pattern_bytes_max)
        throw BadPattern("pattern of $regex is longer than " + std::to_string(pattern_bytes_max) +
                         " bytes");
    // RE2's own kind of string_view: absl's, which is not std's everywhere.
    return std::unique_ptr<const RE2>(new RE2({pattern.data(), pattern.size()}, bounded()));
}

}  // namespace

JsonPattern::JsonPattern(std::string_view pattern) : regex_(compiled(pattern)) {
    if (!regex_->ok())
        throw BadPattern("pattern of $regex is invalid: " + to_clean_line(regex_->error(), 160),
                         "The syntax is RE2's, without back-references and look-around.");
}

JsonPattern::~JsonPattern() = default;

bool JsonPattern::is_in(std::string_view text) const {
    return RE2::PartialMatch({text.data(), text.size()}, *regex_);
}

// Each byte may meet each instruction: so it is where RE2's cache of states is too small for them.
std::size_t JsonPattern::steps_for(std::string_view text) const {
    return 1 + text.size() * static_cast<std::size_t>(regex_->ProgramSize()) / 64;
}

}  // namespace whisperer::engine
