// The setting, and the transaction that it was set in; see context.h.
//
// PostgreSQL keeps what a check hook returns with the value, also with one that comes back when a
// SET LOCAL or a savepoint ends.  So each value knows the transaction in which it was set.
#include "src/record/context.h"

#include "src/base/encoding.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

struct SetIn {
    LocalTransactionId transaction;
};

char* context;
const SetIn* set_in;      // null: the value is empty
bool is_defined = false;  // what is checked before was set before the library was loaded

// What is wrong is said without the value, which PostgreSQL's own message would have in it.
bool refuse(const char* message, const char* hint) {
    GUC_check_errmsg("%s", message);
    if (hint[0] != '\0')
        GUC_check_errhint("%s", hint);
    return false;
}

bool check(char** value, void** extra, GucSource source) {
    if (**value == '\0')
        return true;
    // PGC_S_TEST: the SET clause of a function that is being made.
    if (source < PGC_S_TEST)
        return refuse("whisperer.context counts in the transaction that sets it alone",
                      "Use SET LOCAL whisperer.context in the transaction.");
    WhispererSpan json = {*value, strlen(*value)};
    if (IsTransactionState() && !utf8_from_server(*value, strlen(*value), &json))
        return refuse("whisperer.context cannot be converted to UTF-8", "");
    WhispererError error = {};
    if (whisperer_check_context(json, &error) != WhispererOk)
        return refuse(error.message, error.hint);
    SetIn* in = (SetIn*)pg_guc_alloc(sizeof(SetIn));
    if (in == nullptr)
        return false;
    in->transaction = is_defined ? pg_local_transaction() : InvalidLocalTransactionId;
    *extra = in;
    return true;
}

void assign(const char*, void* extra) {
    set_in = (const SetIn*)extra;
}

// In UTC, with all its digits.
void add_moment(StringInfo meta, const char* name, TimestampTz moment) {
    struct pg_tm tm = {};
    fsec_t fraction = 0;
    if (moment == 0)
        return;
    if (timestamp2tm(moment, nullptr, &tm, &fraction, nullptr, nullptr) != 0 || tm.tm_year > 9999 ||
        tm.tm_year < 1)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("%s is not a moment of the years 1 to 9999", name));
    appendStringInfo(meta, ",\"%s\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", name, tm.tm_year,
                     tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

}  // namespace

void define_context() {
    DefineCustomStringVariable(
        "whisperer.context",
        "What the events of this transaction say of it: a JSON object; for SET LOCAL.", nullptr,
        &context, "", PGC_USERSET, GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, check, assign,
        nullptr);
    is_defined = true;
}

text* make_meta(const Said& said) {
    bool has_context = set_in && set_in->transaction == pg_local_transaction();
    if (!has_context && said.headers == nullptr && said.deliver_at == 0 && said.expires_at == 0 &&
        said.key == nullptr)
        return nullptr;
    StringInfoData meta;
    initStringInfo(&meta);
    if (said.key) {
        appendStringInfoString(&meta, ",\"idempotency_key\":");
        escape_json(&meta, text_to_cstring(said.key));
        add_moment(&meta, "key_until", said.key_until);
    }
    if (has_context)
        appendStringInfo(&meta, ",\"context\":%s", context);
    if (said.headers)
        appendStringInfo(&meta, ",\"headers\":%s",
                         JsonbToCString(nullptr, &said.headers->root, VARSIZE(said.headers)));
    add_moment(&meta, "deliver_at", said.deliver_at);
    add_moment(&meta, "expires_at", said.expires_at);
    meta.data[0] = '{';
    appendStringInfoChar(&meta, '}');
    return cstring_to_text_with_len(meta.data, meta.len);
}

}  // namespace whisperer::pg
