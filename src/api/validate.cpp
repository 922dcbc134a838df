// The engine's rules for what people write, as SQL functions.  Each is PostgreSQL in, one call
// through the door, PostgreSQL out.
#include "src/base/encoding.h"
#include "src/base/event_facts.h"
#include "src/base/json_text.h"
#include "src/pg.h"
#include "src/settings.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

WhispererSpan require_utf8(const char* data, size_t bytes) {
    WhispererSpan utf8;
    if (!utf8_from_server(data, bytes, &utf8))
        ereport(ERROR, errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
                errmsg("text cannot be converted to UTF-8"));
    return utf8;
}

WhispererSpan text_argument(FunctionCallInfo fcinfo, int number) {
    text* value = PG_GETARG_TEXT_PP(number);
    return require_utf8(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

WhispererSpan jsonb_argument(FunctionCallInfo fcinfo, int number) {
    char* value = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(number)));
    return require_utf8(value, strlen(value));
}

char* server_cstring(const char* utf8) {
    return text_to_cstring(server_from_utf8({utf8, strlen(utf8)}));
}

// The column of the hook is named for programs that show the error beside a field.
void require(WhispererCode code, const WhispererError& error, const char* column) {
    if (code == WhispererOk)
        return;
    ereport(ERROR,
            errcode(code == WhispererInvalid       ? ERRCODE_INVALID_PARAMETER_VALUE
                    : code == WhispererOutOfMemory ? ERRCODE_OUT_OF_MEMORY
                                                   : ERRCODE_INTERNAL_ERROR),
            errmsg("%s", server_cstring(error.message)),
            error.hint[0] != '\0' ? errhint("%s", server_cstring(error.hint)) : 0,
            column ? err_generic_string(PG_DIAG_COLUMN_NAME, column) : 0);
}

// The headers that the event's format says, as jsonb.
Datum headers_of(const WhispererEvent& event, int32 metadata) {
    size_t bytes = 0;
    WhispererError error = {};
    require(whisperer_format_headers(&event, metadata, nullptr, 0, &bytes, &error), error,
            "format");
    char* json = (char*)palloc(bytes + 1);
    require(whisperer_format_headers(&event, metadata, json, bytes, &bytes, &error), error,
            "format");
    text* headers = server_from_utf8({json, bytes});
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(headers)));
}

// Null: undecided.
Datum passes(FunctionCallInfo fcinfo, WhispererSpan data, WhispererSpan filter) {
    int answer = whisperer_json_matches(data, filter, filter_steps_max);
    if (answer < -1)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
    if (answer < 0)
        PG_RETURN_NULL();
    PG_RETURN_BOOL(answer == 1);
}

// To be destroyed before anything that may raise.
WhispererSchema* require_schema(WhispererSpan json) {
    WhispererSchema* schema = nullptr;
    WhispererError error = {};
    require(whisperer_schema_create(json, filter_steps_max, &schema, &error), error, "schema");
    return schema;
}

constexpr int secret_bytes = 32;

void fill_randomly(void* bytes, size_t count) {
    if (!pg_strong_random(bytes, count))
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values"));
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_check_url_sql);
PG_FUNCTION_INFO_V1(whisperer_check_reach_sql);
PG_FUNCTION_INFO_V1(whisperer_sent_url_sql);
PG_FUNCTION_INFO_V1(whisperer_check_secret_sql);
PG_FUNCTION_INFO_V1(whisperer_check_headers_sql);
PG_FUNCTION_INFO_V1(whisperer_check_auth_sql);
PG_FUNCTION_INFO_V1(whisperer_check_retry_config_sql);
PG_FUNCTION_INFO_V1(whisperer_make_secret);
PG_FUNCTION_INFO_V1(whisperer_make_signing_key_sql);
PG_FUNCTION_INFO_V1(whisperer_envelope_sql);
PG_FUNCTION_INFO_V1(whisperer_check_format_sql);
PG_FUNCTION_INFO_V1(whisperer_check_payload_key_sql);
PG_FUNCTION_INFO_V1(whisperer_check_signing_sql);
PG_FUNCTION_INFO_V1(whisperer_check_headers_beside_sql);
PG_FUNCTION_INFO_V1(whisperer_check_batch_sql);
PG_FUNCTION_INFO_V1(whisperer_batch_of_one_sql);
PG_FUNCTION_INFO_V1(whisperer_is_gzipped_sql);
PG_FUNCTION_INFO_V1(whisperer_formatted);
PG_FUNCTION_INFO_V1(whisperer_json_contains_sql);
PG_FUNCTION_INFO_V1(whisperer_check_filter_sql);
PG_FUNCTION_INFO_V1(whisperer_test_filter);
PG_FUNCTION_INFO_V1(whisperer_count_members);
PG_FUNCTION_INFO_V1(whisperer_count_jsonb_members);
PG_FUNCTION_INFO_V1(whisperer_check_schema_sql);
PG_FUNCTION_INFO_V1(whisperer_test_schema);

PGDLLEXPORT Datum whisperer_check_url_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_url(text_argument(fcinfo, 0), settings.require_https, &error), error,
            "target_url");
    PG_RETURN_VOID();
}

// What is sent elsewhere is not refused.
PGDLLEXPORT Datum whisperer_check_reach_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    if (settings.divert_to[0] != '\0')
        PG_RETURN_VOID();
    WhispererError error = {};
    require(
        whisperer_check_reach(text_argument(fcinfo, 0),
                              {settings.allowed_networks, strlen(settings.allowed_networks)},
                              {settings.denied_networks, strlen(settings.denied_networks)}, &error),
        error, text_to_cstring(PG_GETARG_TEXT_PP(1)));
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_sent_url_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    char sent[WHISPERER_URL_BYTES_MAX];
    size_t bytes = 0;
    WhispererError error = {};
    require(whisperer_sent_url(text_argument(fcinfo, 0), sent, &bytes, &error), error,
            "target_url");
    PG_RETURN_TEXT_P(cstring_to_text_with_len(sent, (int)bytes));
}

PGDLLEXPORT Datum whisperer_check_secret_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_secret(text_argument(fcinfo, 0), &error), error, "secret_key");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_check_headers_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_headers(jsonb_argument(fcinfo, 0), &error), error,
            "additional_headers");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_check_auth_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_auth(jsonb_argument(fcinfo, 0), jsonb_argument(fcinfo, 1),
                                 settings.require_https, &error),
            error, "config");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_check_retry_config_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_retry_config(jsonb_argument(fcinfo, 0), &error), error,
            "retry_countdown_config");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_make_secret(PG_FUNCTION_ARGS) {
    char random[whisperer::pg::secret_bytes];
    whisperer::pg::fill_randomly(random, sizeof random);
    char secret[6 + 4 * sizeof random];
    strlcpy(secret, "whsec_", sizeof secret);
    int length = whisperer::pg::pg_base64(random, sizeof random, secret + 6, sizeof secret - 6);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(secret, 6 + length));
}

PGDLLEXPORT Datum whisperer_make_signing_key_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    uint8 seed[secret_bytes];
    fill_randomly(seed, sizeof seed);
    char key[WHISPERER_SIGNING_KEY_BYTES];
    WhispererError error = {};
    require(whisperer_make_signing_key(seed, key, &error), error, nullptr);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(key, sizeof key));
}

// Of 1.1; a preload library that is newer than the installed extension is still asked for it.
PGDLLEXPORT Datum whisperer_envelope_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererEvent event = {};
    memcpy(event.id, PG_GETARG_UUID_P(0)->data, sizeof event.id);
    event.type = text_argument(fcinfo, 1);
    event.data = text_argument(fcinfo, 2);
    PG_RETURN_TEXT_P(body_of(event));
}

PGDLLEXPORT Datum whisperer_check_format_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_format(text_argument(fcinfo, 0), &error), error, "format");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_check_payload_key_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_payload_key(text_argument(fcinfo, 0), text_argument(fcinfo, 1), &error),
            error, "payload_key");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_check_signing_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_signing(jsonb_argument(fcinfo, 0), &error), error, "signing");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_check_batch_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_batch(jsonb_argument(fcinfo, 0), text_argument(fcinfo, 1),
                                  PG_GETARG_INT32(2), &error),
            error, "batch");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_batch_of_one_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererEvent event = {};
    event.format = text_argument(fcinfo, 1);
    memcpy(event.id, PG_GETARG_UUID_P(2)->data, sizeof event.id);
    event.type = text_argument(fcinfo, 3);
    event.body = text_argument(fcinfo, 4);
    size_t body_bytes = event.body.size + WHISPERER_BATCH_BYTES;
    char* body = (char*)palloc(body_bytes);
    char headers[WHISPERER_BATCH_HEADERS_BYTES];
    size_t headers_bytes = sizeof headers;
    WhispererError error = {};
    require(whisperer_batch_of_one(jsonb_argument(fcinfo, 0), &event, body, &body_bytes, headers,
                                   &headers_bytes, &error),
            error, "batch");
    if (body_bytes == 0)
        PG_RETURN_NULL();
    text* headers_text = server_from_utf8({headers, headers_bytes});
    Datum values[] = {DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(headers_text))),
                      PointerGetDatum(server_from_utf8({body, body_bytes}))};
    bool nulls[] = {false, false};
    TupleDesc columns;
    if (get_call_result_type(fcinfo, nullptr, &columns) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

PGDLLEXPORT Datum whisperer_is_gzipped_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    PG_RETURN_BOOL(whisperer_is_gzipped(text_argument(fcinfo, 0).size) != 0);
}

PGDLLEXPORT Datum whisperer_check_headers_beside_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_headers_beside(jsonb_argument(fcinfo, 0), text_argument(fcinfo, 1),
                                           jsonb_argument(fcinfo, 2), &error),
            error, "additional_headers");
    PG_RETURN_VOID();
}

// The arguments are a format, what metadata_bits says, and columns of the outbox, of which the last
// three may be null.
PGDLLEXPORT Datum whisperer_formatted(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    for (int i = 0; i < 6; i++)
        if (PG_ARGISNULL(i))
            PG_RETURN_NULL();
    WhispererEvent event = {};
    memcpy(event.id, PG_GETARG_UUID_P(2)->data, sizeof event.id);
    event.type = text_argument(fcinfo, 3);
    event.data = text_argument(fcinfo, 4);
    int32 metadata = PG_GETARG_INT32(1);
    add_facts(&event,
              facts_of(text_to_cstring(PG_GETARG_TEXT_PP(0)), metadata, PG_GETARG_TIMESTAMPTZ(5),
                       PG_ARGISNULL(6) ? (Datum)0 : PG_GETARG_DATUM(6),
                       PG_ARGISNULL(7) ? (Datum)0 : PG_GETARG_DATUM(7),
                       PG_ARGISNULL(8) ? (Datum)0 : PG_GETARG_DATUM(8)));
    text* body = body_of(event);
    Datum values[] = {headers_of(event, metadata), PointerGetDatum(body)};
    bool nulls[] = {false, body == nullptr};
    TupleDesc columns;
    if (get_call_result_type(fcinfo, nullptr, &columns) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

// The SQL function has kept the name that it had when containment was all that a filter could say.
PGDLLEXPORT Datum whisperer_json_contains_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    return passes(fcinfo, text_argument(fcinfo, 0), jsonb_argument(fcinfo, 1));
}

PGDLLEXPORT Datum whisperer_check_filter_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererError error = {};
    require(whisperer_check_filter(jsonb_argument(fcinfo, 0), filter_steps_max, &error), error,
            "filter");
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_count_members(PG_FUNCTION_ARGS) {
    PG_RETURN_INT64(whisperer::pg::count_members(PG_GETARG_DATUM(0)));
}

PGDLLEXPORT Datum whisperer_count_jsonb_members(PG_FUNCTION_ARGS) {
    PG_RETURN_INT64(whisperer::pg::count_members(PG_GETARG_JSONB_P(0)));
}

PGDLLEXPORT Datum whisperer_check_schema_sql(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    whisperer_schema_destroy(require_schema(jsonb_argument(fcinfo, 0)));
    PG_RETURN_VOID();
}

PGDLLEXPORT Datum whisperer_test_schema(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererSpan data = text_argument(fcinfo, 1);
    WhispererSchema* schema = require_schema(jsonb_argument(fcinfo, 0));
    char fault[WHISPERER_FAULT_BYTES];
    size_t bytes = 0;
    int answer = whisperer_schema_fits(schema, data, filter_steps_max, fault, &bytes);
    whisperer_schema_destroy(schema);
    if (answer < -1)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
    if (answer == 1)
        PG_RETURN_NULL();
    if (answer < 0)
        PG_RETURN_TEXT_P(cstring_to_text("could not be checked within its limits"));
    PG_RETURN_TEXT_P(server_from_utf8({fault, bytes}));
}

PGDLLEXPORT Datum whisperer_test_filter(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    WhispererSpan filter = jsonb_argument(fcinfo, 0);
    WhispererError error = {};
    require(whisperer_check_filter(filter, filter_steps_max, &error), error, "filter");
    return passes(fcinfo, text_argument(fcinfo, 1), filter);
}
}
