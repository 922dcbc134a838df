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

// Whether a text tells of SQL.
inline bool speaks_sql(std::string_view text) {
    for (const std::string_view word :
         {"whisperer.", "SELECT", "=>", "CREATE ", "CALL ", "GRANT ", "_hook", "_event", "()"})
        if (text.find(word) != std::string_view::npos)
            return true;
    return false;
}

}  // namespace whisperer::gateway
