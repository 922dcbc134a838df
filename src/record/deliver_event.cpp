// whisperer.deliver_event: records one event by hand.  Three SQL signatures, so that a json, a
// jsonb and an untyped literal all work; each turns its data into json text and goes the common
// way.
#include "src/base/encoding.h"
#include "src/base/event_id.h"
#include "src/base/json_text.h"
#include "src/base/ring.h"
#include "src/base/unix_time.h"
#include "src/record/event_keys.h"
#include "src/record/record.h"
#include "src/settings.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

// As stored.
constexpr int config_filter_bytes_max = 8192;

void require_arguments(bool type_is_null, bool data_is_null) {
    if (type_is_null)
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("event_type of whisperer.deliver_event must not be null"));
    if (data_is_null)
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("data of whisperer.deliver_event must not be null"),
                errhint("For an event without data pass '{}'."));
}

void require_privilege(const char* event_type) {
    bool registered;
    bool allowed = may_publish(GetUserId(), event_type, &registered);
    if (!registered)
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
                errmsg("event type \"%s\" is not registered", event_type),
                may_be_registered(event_type)
                    ? errhint("Call whisperer.register_event(%s) first.",
                              quote_literal_cstr(event_type))
                    : errhint("SELECT name FROM whisperer.event_type shows what is registered."),
                err_generic_string(PG_DIAG_COLUMN_NAME, "event_type"));
    if (!allowed)
        ereport(
            ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied to publish event type \"%s\"", event_type),
            errhint("The event type's owner can call whisperer.allow('%s', %s, 'publish').",
                    event_type,
                    quote_literal_cstr(quote_identifier(GetUserNameFromId(GetUserId(), false)))),
            err_generic_string(PG_DIAG_COLUMN_NAME, "event_type"));
}

// By the rules of a hook's additional headers.
void check_headers(Jsonb* headers) {
    char* json = JsonbToCString(nullptr, &headers->root, VARSIZE(headers));
    WhispererSpan utf8;
    WhispererError error = {};
    if (!utf8_from_server(json, strlen(json), &utf8))
        ereport(ERROR, errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
                errmsg("headers of whisperer.deliver_event cannot be converted to UTF-8"));
    if (whisperer_check_headers(utf8, &error) == WhispererOk)
        return;
    char* message = text_to_cstring(server_from_utf8({error.message, strlen(error.message)}));
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", message),
            error.hint[0] != '\0' ? errhint("%s", error.hint) : 0);
}

// The first moments of PostgreSQL's and of Unix' years stand for none on the way to the receiver: a
// microsecond later they are as past.
TimestampTz given_moment(TimestampTz moment) {
    return moment == 0 || moment == timestamp_from_unix(0) ? moment + 1 : moment;
}

// What is past at once is no fault: the event is recorded, and its deliveries end as expired.
void check_times(const Said& said) {
    int kept_s = payload_kept_s();
    TimestampTz kept_until = GetCurrentTimestamp() + kept_s * USECS_PER_SEC;
    if (said.deliver_at >= kept_until)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("deliver_at is beyond whisperer.%s",
                       kept_s < settings.retention_s ? "payload_retention" : "retention"),
                errhint("An event is kept for %d s and would be gone by then.", kept_s));
    if (said.deliver_at != 0 && said.expires_at != 0 && said.expires_at <= said.deliver_at)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("expires_at is not after deliver_at"));
}

// The functions of 1.1 and before take neither object_id nor what comes after it.
bool is_given(FunctionCallInfo fcinfo, int number) {
    return PG_NARGS() > number && !PG_ARGISNULL(number);
}

enum class DataType { Json, Jsonb, Text };

Datum json_from(Datum data, DataType type) {
    switch (type) {
        case DataType::Json:
            if (!is_json(data))
                ereport(ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
                        errmsg("data of whisperer.deliver_event is not valid JSON"),
                        errhint("A cast or a function has given it the type json without being "
                                "JSON."));
            return data;
        case DataType::Jsonb:
            return CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(jsonb_out, data)));
        case DataType::Text:
            return DirectFunctionCall1(json_in, CStringGetDatum(TextDatumGetCString(data)));
    }
    pg_unreachable();
}

Said said_of(FunctionCallInfo fcinfo) {
    Said said = {};
    if (is_given(fcinfo, 4)) {
        said.headers = PG_GETARG_JSONB_P(4);
        check_headers(said.headers);
    }
    if (is_given(fcinfo, 5))
        said.deliver_at = given_moment(PG_GETARG_TIMESTAMPTZ(5));
    if (is_given(fcinfo, 6))
        said.expires_at = given_moment(PG_GETARG_TIMESTAMPTZ(6));
    if (is_given(fcinfo, 7)) {
        said.key = PG_GETARG_TEXT_PP(7);
        check_idempotency_key(said.key);
        said.key_until = key_until();
    }
    return said;
}

Datum deliver_event(FunctionCallInfo fcinfo, DataType type) {
    require_arguments(PG_ARGISNULL(0), PG_ARGISNULL(1));
    char* event_type = text_to_cstring(PG_GETARG_TEXT_PP(0));
    Jsonb* config_filter = PG_ARGISNULL(2) ? nullptr : PG_GETARG_JSONB_P(2);
    require_privilege(event_type);
    if (config_filter && VARSIZE(config_filter) > config_filter_bytes_max)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("config_filter is larger than %d bytes", config_filter_bytes_max),
                errhint("It is compared with the config of each hook, which is no larger."),
                err_generic_string(PG_DIAG_COLUMN_NAME, "config_filter"));

    NewEvent event = {};
    event.data = json_from(PG_GETARG_DATUM(1), type);
    if (is_given(fcinfo, 3))
        event.object_id = PG_GETARG_TEXT_PP(3);
    Said said = said_of(fcinfo);
    check_times(said);

    pg_uuid_t* id = (pg_uuid_t*)palloc(sizeof(pg_uuid_t));
    Content content = {event.data, event.object_id, config_filter, said.headers};
    if (said.key && find_event_of_key(event_type, said.key, content, id))
        return UUIDPGetDatum(id);
    event.id = make_event_id();
    record_events(event_type, nullptr, config_filter, for_all, &event, 1, said);
    *id = event.id;
    return UUIDPGetDatum(id);
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_deliver_event_json);
PG_FUNCTION_INFO_V1(whisperer_deliver_event_jsonb);
PG_FUNCTION_INFO_V1(whisperer_deliver_event_text);

PGDLLEXPORT Datum whisperer_deliver_event_json(PG_FUNCTION_ARGS) {
    return whisperer::pg::deliver_event(fcinfo, whisperer::pg::DataType::Json);
}

PGDLLEXPORT Datum whisperer_deliver_event_jsonb(PG_FUNCTION_ARGS) {
    return whisperer::pg::deliver_event(fcinfo, whisperer::pg::DataType::Jsonb);
}

PGDLLEXPORT Datum whisperer_deliver_event_text(PG_FUNCTION_ARGS) {
    return whisperer::pg::deliver_event(fcinfo, whisperer::pg::DataType::Text);
}
}
