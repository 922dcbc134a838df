// Sealing and opening for the SQL functions and for the worker; see sealed.h.  The SQL functions
// here decide nothing about who may call them: PUBLIC may not (install/api/900-access.sql), and
// those that may, 320 to 323 in install/api, ask who their caller is.
#include "src/secrets/sealed.h"

#include "src/base/encoding.h"
#include "src/secrets/key_file.h"

namespace whisperer::pg {

namespace {

void require_keys(const KeyFile& file) {
    if (file.error.message[0] != '\0')
        ereport(ERROR, errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s", file.error.message),
                errhint("%s", file.error.hint));
}

text* sealed_text(const KeyFile& file, const WhispererSecretPlace& place, WhispererSpan plain) {
    size_t bytes = whisperer_sealed_bytes_max(plain.size);
    text* sealed = (text*)palloc(VARHDRSZ + bytes);
    WhispererError error = {};
    if (whisperer_seal(file.keys, &place, plain, VARDATA(sealed), &bytes, &error) != WhispererOk)
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR),
                errmsg("a secret could not be encrypted: %s", error.message));
    SET_VARSIZE(sealed, VARHDRSZ + bytes);
    return sealed;
}

WhispererSpan argument(FunctionCallInfo fcinfo, int number) {
    text* value = PG_GETARG_TEXT_PP(number);
    return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

}  // namespace

bool open_stored(int64 hook_id, const char* column, WhispererSpan stored, WhispererSpan* plain,
                 WhispererError* error) {
    *plain = stored;
    if (!whisperer_is_sealed(stored))
        return true;
    const KeyFile& file = key_file();
    *error = file.error;
    if (error->message[0] != '\0')
        return false;
    char* opened = (char*)palloc(stored.size);
    size_t bytes = 0;
    WhispererSecretPlace place = {hook_id, {column, strlen(column)}};
    if (!file.is_named)
        strlcpy(error->message, "it is encrypted and whisperer.secret_key_file is not set",
                sizeof error->message);
    else if (whisperer_open_sealed(file.keys, &place, stored, opened, &bytes, error) ==
             WhispererOk) {
        *plain = {opened, bytes};
        return true;
    }
    strlcpy(error->hint,
            "Put the key back into the file that whisperer.secret_key_file names and reload the "
            "settings, or write a new value with whisperer.update_hook.",
            sizeof error->hint);
    return false;
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_seal_secret);
PG_FUNCTION_INFO_V1(whisperer_open_secret);
PG_FUNCTION_INFO_V1(whisperer_secret_is_current);

// An empty secret says that a hook is unsigned, and is no secret.
PGDLLEXPORT Datum whisperer_seal_secret(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererSpan value = argument(fcinfo, 2), utf8;
    const KeyFile& file = key_file();
    if (!file.is_named || value.size == 0)
        PG_RETURN_DATUM(PG_GETARG_DATUM(2));
    require_keys(file);
    if (!utf8_from_server(value.data, value.size, &utf8))
        ereport(ERROR, errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
                errmsg("text cannot be converted to UTF-8"));
    text* sealed = sealed_text(file, {PG_GETARG_INT64(0), argument(fcinfo, 1)}, utf8);
    if (!whisperer_is_sealed({VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ}))
        PG_RETURN_DATUM(PG_GETARG_DATUM(2));
    PG_RETURN_TEXT_P(sealed);
}

PGDLLEXPORT Datum whisperer_open_secret(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererSpan stored = argument(fcinfo, 2), plain;
    if (!whisperer_is_sealed(stored))
        PG_RETURN_DATUM(PG_GETARG_DATUM(2));
    require_keys(key_file());
    char* column = text_to_cstring(PG_GETARG_TEXT_PP(1));
    WhispererError error = {};
    if (!open_stored(PG_GETARG_INT64(0), column, stored, &plain, &error))
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("%s of hook " INT64_FORMAT " cannot be decrypted: %s", column,
                       PG_GETARG_INT64(0), error.message),
                errhint("%s", error.hint));
    PG_RETURN_TEXT_P(server_from_utf8(plain));
}

// Whether reencrypt_secrets would leave it as it is.
PGDLLEXPORT Datum whisperer_secret_is_current(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererSpan stored = argument(fcinfo, 0);
    const KeyFile& file = key_file();
    require_keys(file);
    if (!file.is_named)
        PG_RETURN_BOOL(!whisperer_is_sealed(stored));
    PG_RETURN_BOOL(stored.size == 0 || whisperer_is_sealed_now(file.keys, stored));
}
}
