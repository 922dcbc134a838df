// See json_text.h.
#include "src/base/json_text.h"

namespace whisperer::pg {

namespace {

constexpr char opening[] = "{\"whisperer-problem\":\"";
constexpr char closing[] = "\"}";
constexpr size_t opening_bytes = sizeof opening - 1;
constexpr size_t closing_bytes = sizeof closing - 1;
// An error's message may have a whole value in it.
constexpr int problem_bytes_max = 1000;

}  // namespace

bool is_json(Datum json) {
    text* document = DatumGetTextPP(json);
    return pg_parses_as_json(VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document),
                             &nullSemAction);
}

int64 count_members(Datum json) {
    text* document = DatumGetTextPP(json);
    int64 count = 0;
    JsonSemAction actions = {};
    actions.semstate = &count;
    actions.object_field_start = pg_count_member;
    return pg_parses_as_json(VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document), &actions)
               ? count
               : -1;
}

// Not by its text: a number of few digits and a large exponent has all its zeros there.
int64 count_members(Jsonb* json) {
    int64 count = 0;
    JsonbIterator* at = JsonbIteratorInit(&json->root);
    JsonbValue value;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&at, &value, false)) != WJB_DONE;)
        count += token == WJB_KEY;
    return count;
}

// Control characters are no use to whoever reads it in a ledger.
Datum data_with_problem(const char* problem) {
    StringInfoData data;
    initStringInfo(&data);
    appendStringInfoString(&data, opening);
    int bytes = pg_mbcliplen(problem, (int)strlen(problem), problem_bytes_max);
    for (const char* byte = problem; byte < problem + bytes; byte++) {
        if (*byte == '"' || *byte == '\\')
            appendStringInfoChar(&data, '\\');
        appendStringInfoChar(&data, (unsigned char)*byte < ' ' ? ' ' : *byte);
    }
    appendStringInfoString(&data, closing);
    return PointerGetDatum(cstring_to_text_with_len(data.data, data.len));
}

const char* problem_of(WhispererSpan data) {
    if (data.size < opening_bytes + closing_bytes || memcmp(data.data, opening, opening_bytes) != 0)
        return nullptr;
    const char* end = data.data + data.size - closing_bytes;
    char* problem = (char*)palloc(data.size);
    size_t length = 0;
    for (const char* byte = data.data + opening_bytes; byte < end; byte++) {
        // Other members follow: it is somebody's own data.
        if (*byte == '"')
            return nullptr;
        if (*byte == '\\' && ++byte == end)
            return nullptr;
        problem[length++] = *byte;
    }
    problem[length] = '\0';
    return memcmp(end, closing, closing_bytes) == 0 ? problem : nullptr;
}

}  // namespace whisperer::pg
