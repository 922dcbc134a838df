// Conversion by PostgreSQL's own conversion functions, in their form that reports instead of
// raising.
#include "src/base/encoding.h"

namespace whisperer::pg {

namespace {

// Converts all of it or returns -1.  The result is palloc'd.
int convert(const char* data, size_t bytes, int from, int to, char** result) {
    Oid function = FindDefaultConversionProc(from, to);
    if (!OidIsValid(function) || bytes > (size_t)(INT_MAX / MAX_CONVERSION_GROWTH - 1))
        return -1;
    int capacity = (int)bytes * MAX_CONVERSION_GROWTH + 1;
    *result = (char*)palloc(capacity);
    int converted =
        pg_do_encoding_conversion_buf(function, from, to, (unsigned char*)data, (int)bytes,
                                      (unsigned char*)*result, capacity, true);
    return converted == (int)bytes ? (int)strlen(*result) : -1;
}

// In place.
char* make_ascii(char* data, size_t bytes) {
    for (char* c = data; c < data + bytes; c++)
        if (IS_HIGHBIT_SET(*c))
            *c = '?';
    return data;
}

}  // namespace

bool utf8_from_server(const char* data, size_t bytes, WhispererSpan* utf8) {
    int encoding = GetDatabaseEncoding();
    if (encoding == PG_UTF8 ||
        (encoding == PG_SQL_ASCII && pg_verify_mbstr(PG_UTF8, data, (int)bytes, true))) {
        *utf8 = {data, bytes};
        return true;
    }
    *utf8 = {};
    if (encoding == PG_SQL_ASCII)
        return false;
    char* result;
    int length = convert(data, bytes, encoding, PG_UTF8, &result);
    if (length < 0)
        return false;
    *utf8 = {result, (size_t)length};
    return true;
}

WhispererSpan utf8_of_name(const char* name) {
    size_t bytes = strlen(name);
    WhispererSpan utf8;
    if (utf8_from_server(name, bytes, &utf8))
        return utf8;
    return {make_ascii(pstrdup(name), bytes), bytes};
}

text* server_from_utf8(WhispererSpan utf8) {
    int encoding = GetDatabaseEncoding();
    if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
        return cstring_to_text_with_len(utf8.data, (int)utf8.size);
    char* result;
    int length = convert(utf8.data, utf8.size, PG_UTF8, encoding, &result);
    if (length >= 0)
        return cstring_to_text_with_len(result, length);
    text* ascii = cstring_to_text_with_len(utf8.data, (int)utf8.size);
    make_ascii(VARDATA(ascii), utf8.size);
    return ascii;
}

}  // namespace whisperer::pg
