// See json_text.h.
#include "src/base/json_text.h"

namespace whisperer::pg {

namespace {

constexpr char opening[] = "{\"whisperer-problem\":\"";
constexpr char closing[] = "\"}";
constexpr size_t opening_bytes = sizeof opening - 1;
constexpr size_t closing_bytes = sizeof closing - 1;

}  // namespace

bool is_json(Datum json) {
    text* document = DatumGetTextPP(json);
    return pg_parses_as_json(VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document));
}

// Our own problems hold nothing that JSON would escape.
Datum data_with_problem(const char* problem) {
    return CStringGetTextDatum(psprintf("%s%s%s", opening, problem, closing));
}

const char* problem_of(WhispererSpan data) {
    if (data.size < opening_bytes + closing_bytes || memcmp(data.data, opening, opening_bytes) != 0)
        return nullptr;
    char* problem = pnstrdup(data.data + opening_bytes, data.size - opening_bytes - closing_bytes);
    // Other members follow: it is somebody's own data.
    bool is_all = strchr(problem, '"') == nullptr &&
                  memcmp(data.data + data.size - closing_bytes, closing, closing_bytes) == 0;
    return is_all ? problem : nullptr;
}

}  // namespace whisperer::pg
