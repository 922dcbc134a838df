// Calling a subscriber's function as the hook's owner; see call.h.
//
// The process is connected as a superuser and becomes the owner before its first call, the user of
// the session included, and for good: an application's SECURITY DEFINER function asks session_user
// whom it serves.  The restricted operation, from restrict_to_owner to the end of the commit,
// refuses the way back (SET SESSION AUTHORIZATION, SET ROLE) and what would run later: deferred
// triggers, cursors WITH HOLD, LISTEN.
#include "src/functions/call.h"

#include "src/base/boundary.h"
#include "src/base/encoding.h"
#include "src/base/json_text.h"
#include "src/base/transaction.h"
#include "src/settings.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

constexpr double countdown_max_us = 30.0 * USECS_PER_DAY;

struct Call {
    const CallHeader* header;
    const char* texts[CallTextCount];
    MemoryContext results;  // where the answer must live
    Answer answer;
};

char* text_of(const Call& call, CallText number) {
    return pnstrdup(call.texts[number], call.header->text_bytes[number]);
}

bool is_null(const Call& call, CallText number) {
    return call.header->text_bytes[number] < 0;
}

Datum json_of(const Call& call, CallText number) {
    if (is_null(call, number))
        return (Datum)0;
    return PointerGetDatum(
        cstring_to_text_with_len(call.texts[number], call.header->text_bytes[number]));
}

Datum jsonb_of(const Call& call, CallText number) {
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(text_of(call, number)));
}

// Of one that is not null.
text* event_type_of(const Call& call) {
    return server_from_utf8(
        {call.texts[TextEventType], (size_t)call.header->text_bytes[TextEventType]});
}

// In the server's encoding, as its data is.
Datum envelope_of(const Call& call) {
    WhispererEvent event = {};
    memcpy(event.id, call.header->event_id.data, sizeof event.id);
    text* event_type = event_type_of(call);
    event.type = {VARDATA(event_type), VARSIZE_ANY_EXHDR(event_type)};
    event.data = {call.texts[TextData], (size_t)call.header->text_bytes[TextData]};
    WhispererError error = {};
    size_t bytes = 0;
    WhispererCode code = whisperer_body(&event, nullptr, 0, &bytes, &error);
    text* json = (text*)palloc(VARHDRSZ + bytes);
    SET_VARSIZE(json, VARHDRSZ + bytes);
    if (code == WhispererOk)
        code = whisperer_body(&event, VARDATA(json), bytes, &bytes, &error);
    if (code != WhispererOk)
        ereport(
            ERROR,
            errcode(code == WhispererOutOfMemory ? ERRCODE_OUT_OF_MEMORY : ERRCODE_INTERNAL_ERROR),
            errmsg("whisperer: the envelope could not be made: %s", error.message));
    return PointerGetDatum(json);
}

void add_member(StringInfo json, const char* name, char* value) {
    appendStringInfo(json, ", \"%s\": ", name);
    escape_json(json, value);
}

void add_member(StringInfo json, const char* name, const Call& call, CallText number) {
    if (call.header->text_bytes[number] <= 0)
        return;
    WhispererSpan utf8 = {call.texts[number], (size_t)call.header->text_bytes[number]};
    add_member(json, name, text_to_cstring(server_from_utf8(utf8)));
}

// RFC 3339 in UTC, as X-Whisperer-Time has it.
char* time_text(int64 unix_us) {
    int64 second = unix_us / USECS_PER_SEC;
    struct tm parts;
    char date[32];
    time_t at = (time_t)second;
    gmtime_r(&at, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    return psprintf("%s.%06dZ", date, (int)(unix_us - second * USECS_PER_SEC));
}

// What is known of the event beside its data.  Nothing of it is another at another attempt, for a
// body may be made again before the first is in the ledger.
Datum meta_of(const Call& call) {
    const CallHeader* header = call.header;
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfo(&json, "{\"hook\": " INT64_FORMAT, header->hook_id);
    char id[2 * UUID_LEN + 1];
    for (int i = 0; i < UUID_LEN; i++)
        snprintf(id + 2 * i, 3, "%02x", header->event_id.data[i]);
    add_member(&json, "id", id);
    add_member(&json, "type", call, TextEventType);
    add_member(&json, "time", time_text(header->recorded_at_us));
    add_member(&json, "source", call, TextSource);
    add_member(&json, "object", call, TextObjectId);
    appendStringInfoChar(&json, '}');
    Datum known = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
    if (header->text_bytes[TextMeta] <= 0)
        return known;
    WhispererSpan said = {call.texts[TextMeta], (size_t)header->text_bytes[TextMeta]};
    char* text = text_to_cstring(server_from_utf8(said));
    return DirectFunctionCall2(jsonb_concat, DirectFunctionCall1(jsonb_in, CStringGetDatum(text)),
                               known);
}

struct Arguments {
    int count;
    Oid types[4];
    Datum values[4];
    char nulls[5];
};

void add(Arguments* arguments, Oid type, Datum value, bool null = false) {
    arguments->types[arguments->count] = type;
    arguments->values[arguments->count] = value;
    arguments->nulls[arguments->count++] = null ? 'n' : ' ';
}

Arguments arguments_of(const Call& call) {
    Arguments arguments = {};
    switch (call.header->kind) {
        case CallKind::Transform:
            add(&arguments, JSONOID, envelope_of(call));
            if (call.header->takes_meta)
                add(&arguments, JSONBOID, meta_of(call));
            break;
        case CallKind::Callback: {
            bool has_envelope = call.header->sent_envelope && !is_null(call, TextData);
            add(&arguments, JSONBOID, jsonb_of(call, TextArgument));
            bool has_type = !is_null(call, TextEventType);
            add(&arguments, TEXTOID, has_type ? PointerGetDatum(event_type_of(call)) : (Datum)0,
                !has_type);
            add(&arguments, JSONOID, json_of(call, TextData), is_null(call, TextData));
            add(&arguments, JSONOID, has_envelope ? envelope_of(call) : json_of(call, TextBody),
                !has_envelope && is_null(call, TextBody));
            break;
        }
        case CallKind::Countdown:
            add(&arguments, INT4OID, Int32GetDatum(call.header->retry_count));
            add(&arguments, JSONBOID, jsonb_of(call, TextArgument));
            break;
    }
    return arguments;
}

// Looked up at every call: functions are replaced.
const char* query_of(const Call& call, int count) {
    char* name = text_of(call, TextFunction);
    List* names = pg_qualified_names(name);
    constexpr const char* parameters[] = {"", "$1", "$1, $2", "$1, $2, $3", "$1, $2, $3, $4"};
    return psprintf("SELECT %s(%s)", NameListToQuotedString(names), parameters[count]);
}

void require_role(Oid owner) {
    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
                errmsg("the hook's owner does not exist any more"));
}

// What pg_stat_activity shows as the user: one aligned word, of which no reader sees half.
void show_user(Oid owner) {
    if (MyBEEntry)
        MyBEEntry->st_userid = owner;
}

// As a login does it: through the setting, which parallel workers are given, and as its default, so
// that no RESET and no end of a transaction changes it.
void become(void* argument) {
    Oid owner = *(const Oid*)argument;
    require_role(owner);
    SetConfigOption("session_authorization", GetUserNameFromId(owner, false), PGC_BACKEND,
                    PGC_S_OVERRIDE);
    show_user(owner);
}

void restrict_to_owner(Oid owner) {
    require_role(owner);
    SetUserIdAndSecContext(owner, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
}

void require_type(Oid wanted) {
    if (SPI_processed != 1 || SPI_gettypeid(SPI_tuptable->tupdesc, 1) != wanted)
        ereport(
            ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
            errmsg("the function does not return one value of type %s", format_type_be(wanted)));
}

void take_body(Call* call, Datum value) {
    if (toast_raw_datum_size(value) - VARHDRSZ > (Size)settings.max_payload_bytes)
        ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                errmsg("the result is larger than whisperer.max_payload"));
    if (!is_json(value))
        ereport(ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
                errmsg("the result is not valid JSON"));
    text* json = DatumGetTextPP(value);
    WhispererSpan utf8;
    if (!utf8_from_server(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), &utf8))
        ereport(ERROR, errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
                errmsg("the result cannot be converted to UTF-8"));
    char* copy = (char*)MemoryContextAlloc(call->results, utf8.size);
    memcpy(copy, utf8.data, utf8.size);
    call->answer = {{AnswerKind::Body, 0}, copy, utf8.size};
}

// A value of (Datum)0 is null.
void take_interval(Call* call, Datum value) {
    if (value == (Datum)0)
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("the function returned null"));
    const Interval* interval = DatumGetIntervalP(value);
    double wait_us =
        (double)interval->time + (interval->day + interval->month * 30.0) * (double)USECS_PER_DAY;
    if (!(wait_us >= 0 && wait_us <= countdown_max_us))
        ereport(ERROR, errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
                errmsg("the function must return an interval from 0 to 30 days"));
    call->answer = {{AnswerKind::Interval, (int64)wait_us}, nullptr, 0};
}

void take_result(Call* call) {
    if (call->header->kind == CallKind::Callback) {
        call->answer = {{AnswerKind::Done, 0}, nullptr, 0};
        return;
    }
    bool transforms = call->header->kind == CallKind::Transform;
    require_type(transforms ? JSONOID : INTERVALOID);
    Datum value = datum_column(0, 1);
    if (!transforms)
        take_interval(call, value);
    else if (value)
        take_body(call, value);
    else
        call->answer = {{AnswerKind::Nothing, 0}, nullptr, 0};
}

void run_call(void* argument) {
    Call* call = (Call*)argument;
    Arguments arguments = arguments_of(*call);
    const char* query = query_of(*call, arguments.count);
    restrict_to_owner(call->header->owner);
    // Two rows: one is expected, and so that a second is noticed.
    int result = run_query(query, arguments.count, arguments.types, arguments.values,
                           arguments.nulls, false, 2);
    if (result != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a call: %s", SPI_result_code_string(result));
    take_result(call);
}

Answer error_answer(const ErrorData* error) {
    char* message = psprintf("%s (SQLSTATE %s)", error->message ? error->message : "unknown error",
                             unpack_sql_state(error->sqlerrcode));
    int bytes = pg_mbcliplen(message, (int)strlen(message), function_error_bytes_max);
    // No transaction is open in which a conversion could be looked up.
    for (char* c = message; GetDatabaseEncoding() != PG_UTF8 && c < message + bytes; c++)
        if (IS_HIGHBIT_SET(*c))
            *c = '?';
    return {{AnswerKind::Error, 0}, pnstrdup(message, bytes), (Size)bytes};
}

// The next call is of the same owner's, for the process ends when the owner changes: this is for
// order, not for safety.
void clean_session(Oid owner) {
    SetUserIdAndSecContext(owner, 0);
    LockReleaseAll(USER_LOCKMETHOD, true);
    ResetAllOptions();
    ResetSequenceCaches();
}

}  // namespace

Answer answer_call(const char* message, Size bytes) {
    Call call = {};
    call.header = (const CallHeader*)message;
    call.results = CurrentMemoryContext;
    const char* next = message + sizeof(CallHeader);
    for (int i = 0; i < CallTextCount; i++) {
        call.texts[i] = next;
        next += Max(call.header->text_bytes[i], 0);
    }
    if (next != message + bytes)
        elog(FATAL, "whisperer: a call of %zu bytes was expected to have %zu", bytes,
             (Size)(next - message));
    Oid owner = call.header->owner;
    ErrorData* error = nullptr;
    if (GetSessionUserId() != owner &&
        !try_in_transaction(become, &owner, "becoming a hook's owner", &error))
        return error_answer(error);
    if (GetSessionUserId() != owner)
        elog(FATAL, "whisperer: the helper could not become role %u", owner);
    if (!try_in_transaction(run_call, &call, "calling a hook's function", &error))
        call.answer = error_answer(error);
    clean_session(owner);
    return call.answer;
}

}  // namespace whisperer::pg
