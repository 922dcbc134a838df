// The values behind the handles; see hidden.h.  SQL: install/api/115-hidden.sql.
#include "src/secrets/hidden.h"

namespace whisperer::pg {

namespace {

constexpr char prefix[] = "hidden:";
constexpr int prefix_bytes = sizeof prefix - 1;
constexpr int random_bytes = 16;
constexpr int handle_bytes = prefix_bytes + 2 * random_bytes;
// A function uses the few handles that it makes at once; the rest of a bulk statement's are past.
constexpr int values_max = 64;

struct HiddenValue {
    char handle[handle_bytes + 1];
    struct varlena* value;
    Size bytes;
    bool is_jsonb;
};

HiddenValue values[values_max];
int next_value = 0;

void forget(HiddenValue* hidden) {
    if (hidden->value) {
        explicit_bzero(hidden->value, hidden->bytes);
        pfree(hidden->value);
    }
    *hidden = {};
}

void forget_all(XactEvent event, void*) {
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    for (HiddenValue& hidden : values)
        forget(&hidden);
}

void forget_at_the_end() {
    static bool registered = false;
    if (registered)
        return;
    RegisterXactCallback(forget_all, nullptr);
    registered = true;
}

// The text of the value if it is as long as a handle, else null.
char* handle_text(Datum value, bool is_jsonb) {
    if (toast_raw_datum_size(value) > (Size)(VARHDRSZ + 4 * handle_bytes))
        return nullptr;
    if (!is_jsonb)
        return TextDatumGetCString(value);
    char* json = DatumGetCString(DirectFunctionCall1(jsonb_out, value));
    Size bytes = strlen(json);
    if (bytes < 2 || json[0] != '"')
        return nullptr;
    return pnstrdup(json + 1, bytes - 2);
}

const HiddenValue* find(Datum value, bool is_jsonb) {
    const char* handle = handle_text(value, is_jsonb);
    if (handle == nullptr || strlen(handle) != handle_bytes)
        return nullptr;
    for (const HiddenValue& hidden : values)
        if (hidden.value && hidden.is_jsonb == is_jsonb && strcmp(hidden.handle, handle) == 0)
            return &hidden;
    return nullptr;
}

void name_handle(HiddenValue* hidden) {
    uint8 random[random_bytes];
    if (!pg_strong_random(random, sizeof random))
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values"));
    memcpy(hidden->handle, prefix, prefix_bytes);
    for (int i = 0; i < random_bytes; i++)
        snprintf(hidden->handle + prefix_bytes + 2 * i, 3, "%02x", random[i]);
}

}  // namespace

Datum hide(Datum value, bool is_jsonb) {
    if (find(value, is_jsonb))
        return value;
    forget_at_the_end();
    HiddenValue* hidden = &values[next_value];
    next_value = (next_value + 1) % values_max;
    forget(hidden);
    name_handle(hidden);
    struct varlena* plain = PG_DETOAST_DATUM(value);
    hidden->bytes = VARSIZE(plain);
    hidden->is_jsonb = is_jsonb;
    hidden->value = (struct varlena*)MemoryContextAlloc(TopMemoryContext, hidden->bytes);
    memcpy(hidden->value, plain, hidden->bytes);
    if (!is_jsonb)
        return CStringGetTextDatum(hidden->handle);
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("\"%s\"", hidden->handle)));
}

Datum reveal(Datum handle, bool is_jsonb) {
    const HiddenValue* hidden = find(handle, is_jsonb);
    if (hidden == nullptr)
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("a secret on its way was lost"));
    struct varlena* copy = (struct varlena*)palloc(hidden->bytes);
    memcpy(copy, hidden->value, hidden->bytes);
    return PointerGetDatum(copy);
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_hidden_text);
PG_FUNCTION_INFO_V1(whisperer_hidden_jsonb);
PG_FUNCTION_INFO_V1(whisperer_revealed_text);
PG_FUNCTION_INFO_V1(whisperer_revealed_jsonb);

PGDLLEXPORT Datum whisperer_hidden_text(PG_FUNCTION_ARGS) {
    return whisperer::pg::hide(PG_GETARG_DATUM(0), false);
}

PGDLLEXPORT Datum whisperer_hidden_jsonb(PG_FUNCTION_ARGS) {
    return whisperer::pg::hide(PG_GETARG_DATUM(0), true);
}

PGDLLEXPORT Datum whisperer_revealed_text(PG_FUNCTION_ARGS) {
    return whisperer::pg::reveal(PG_GETARG_DATUM(0), false);
}

PGDLLEXPORT Datum whisperer_revealed_jsonb(PG_FUNCTION_ARGS) {
    return whisperer::pg::reveal(PG_GETARG_DATUM(0), true);
}
}
