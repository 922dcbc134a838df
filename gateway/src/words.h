// What the database says to people who speak SQL, for those who speak HTTP.
#pragma once
#include <string>
#include <string_view>

#include "text.h"

namespace whisperer::gateway {

// An SQL expression of the text that another one gives, without names of functions and settings.
inline std::string in_words(std::string_view expression) {
    return filled(R"(replace(replace(replace(replace(<text>, 'by pause_hook', 'by a person'),
        ', see whisperer.resume()', ''), 'by whisperer.pause()', 'by a person'),
        'whisperer.retention', 'the retention'))",
                  {{"<text>", expression}});
}

// A message without the names of the settings that say how long events are kept.
inline std::string without_retention(const std::string& message) {
    return filled(message, {{"whisperer.payload_retention", "the retention"},
                            {"whisperer.retention", "the retention"}});
}

// SQL: whether a row of hook_stats is worth its place beside those of the first database.  A
// delivery node's copy of a hook of its primary is, once there is something to tell of it.
constexpr std::string_view is_told_beside =
    "(NOT whisperer_internal.is_hook_fed(s.hook_id) OR s.pending > 0 OR s.circuit <> 'closed' "
    "OR s.delivered_total + s.failed_total + s.failed_attempts_total > 0)";

// Whether a text tells of SQL.
inline bool speaks_sql(std::string_view text) {
    for (const std::string_view word :
         {"whisperer.", "SELECT", "=>", "CREATE ", "CALL ", "GRANT ", "_hook", "_event", "()"})
        if (text.find(word) != std::string_view::npos)
            return true;
    return false;
}

}  // namespace whisperer::gateway
