// Recording events.  What is cached here (owner, incarnation, the last privilege looked up) is
// forgotten when PostgreSQL says that one of our tables, or any role membership, changed.
#include "record.h"

#include "event_id.h"
#include "owner_context.h"
#include "slot.h"
#include "transaction.h"
#include "wakeup.h"

namespace whisperer::pg {

namespace {

constexpr int slots = 8;
constexpr int event_type_bytes_max = 128;
// Rows of a statement are inserted in runs of this many, which bounds the arrays.
constexpr int run_length = 1000;

// Bumped when anything cached here may have changed; a cache is good while its number is this one.
// A change that arrives in the middle of a look-up therefore wins over what the look-up found.
uint64 changes = 1;

struct Identity {
    uint64 as_of;
    Oid outbox;
    Oid event_type;
    Oid event_type_privilege;
    Oid owner;
    int64 incarnation;
};
Identity identity;

struct Privilege {
    uint64 as_of;
    Oid role;
    bool allowed;
    bool registered;
    char event_type[event_type_bytes_max + 1];
};
Privilege last_privilege;

SPIPlanPtr single_plans[slots];
SPIPlanPtr run_plans[slots];

void on_relation_change(Datum, Oid relation) {
    if (relation == InvalidOid || relation == identity.outbox || relation == identity.event_type ||
        relation == identity.event_type_privilege)
        changes++;
}

void on_membership_change(Datum, int, uint32) {
    changes++;
}

void watch_for_changes() {
    static bool watching = false;
    if (watching)
        return;
    CacheRegisterRelcacheCallback(on_relation_change, 0);
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_membership_change, 0);
    CacheRegisterSyscacheCallback(AUTHOID, on_membership_change, 0);
    watching = true;
}

int64 mix_with_database(int64 number) {
    return number ^ (int64)((uint64)MyDatabaseId * UINT64CONST(0x9E3779B97F4A7C15));
}

const Identity& current_identity() {
    watch_for_changes();
    if (identity.as_of == changes)
        return identity;
    Identity found = {};
    found.as_of = changes;
    Oid schema = get_namespace_oid("whisperer", true);
    found.outbox = OidIsValid(schema) ? get_relname_relid("outbox", schema) : InvalidOid;
    if (!OidIsValid(found.outbox))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
                errmsg("extension \"whisperer\" is not installed in this database"),
                errhint("Run CREATE EXTENSION whisperer."));
    found.event_type = get_relname_relid("event_type", schema);
    found.event_type_privilege = get_relname_relid("event_type_privilege", schema);
    Relation relation = table_open(found.outbox, AccessShareLock);
    found.owner = relation->rd_rel->relowner;
    table_close(relation, AccessShareLock);

    UserContext saved = enter_owner(found.owner);
    SPI_connect();
    if (SPI_execute("SELECT number FROM whisperer.incarnation", true, 1) != SPI_OK_SELECT ||
        SPI_processed != 1)
        ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
                errmsg("table whisperer.incarnation has no row"),
                errhint("Insert one with a random number."));
    bool is_null;
    found.incarnation = mix_with_database(
        DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null)));
    SPI_finish();
    leave_owner(saved);
    identity = found;
    return identity;
}

Datum text_datum_or_null(text* value, char* is_null) {
    *is_null = value ? ' ' : 'n';
    return PointerGetDatum(value);
}

void insert_single(const char* event_type, text* source, Jsonb* config_filter,
                   const NewEvent& event, int16 slot) {
    Oid types[] = {UUIDOID, TEXTOID, JSONOID, TEXTOID, TEXTOID, JSONBOID, INT8OID};
    char query[320];
    snprintf(query, sizeof query,
             "INSERT INTO whisperer.outbox_%d (id, event_type, data, source, object_id, "
             "config_filter, incarnation, slot) VALUES ($1, $2, $3, $4, $5, $6, $7, %d)",
             slot, slot);
    pg_uuid_t id = event.id;
    char nulls[] = "       ";
    Datum values[] = {UUIDPGetDatum(&id),
                      CStringGetTextDatum(event_type),
                      event.data,
                      text_datum_or_null(source, &nulls[3]),
                      text_datum_or_null(event.object_id, &nulls[4]),
                      PointerGetDatum(config_filter),
                      Int64GetDatum(identity.incarnation)};
    nulls[5] = config_filter ? ' ' : 'n';
    SPIPlanPtr plan = kept_plan(&single_plans[slot], query, lengthof(types), types);
    if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
        elog(ERROR, "could not insert into whisperer.outbox");
}

void insert_run(const char* event_type, text* source, const NewEvent* events, int count,
                int16 slot) {
    Oid types[] = {UUIDARRAYOID, JSONARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID, INT8OID};
    char query[400];
    snprintf(query, sizeof query,
             "INSERT INTO whisperer.outbox_%d (id, event_type, data, source, object_id, "
             "incarnation, slot) SELECT u.id, $4, u.data, $5, u.object_id, $6, %d "
             "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), "
             "pg_catalog.unnest($3)) AS u (id, data, object_id)",
             slot, slot);
    Datum* ids = (Datum*)palloc(sizeof(Datum) * count);
    Datum* datas = (Datum*)palloc(sizeof(Datum) * count);
    Datum* objects = (Datum*)palloc(sizeof(Datum) * count);
    bool* no_object = (bool*)palloc(sizeof(bool) * count);
    for (int i = 0; i < count; i++) {
        ids[i] = UUIDPGetDatum(&events[i].id);
        datas[i] = events[i].data;
        objects[i] = PointerGetDatum(events[i].object_id);
        no_object[i] = events[i].object_id == nullptr;
    }
    char nulls[] = "      ";
    Datum values[] = {
        make_array(ids, nullptr, count, UUIDOID),       make_array(datas, nullptr, count, JSONOID),
        make_array(objects, no_object, count, TEXTOID), CStringGetTextDatum(event_type),
        text_datum_or_null(source, &nulls[4]),          Int64GetDatum(identity.incarnation)};
    SPIPlanPtr plan = kept_plan(&run_plans[slot], query, lengthof(types), types);
    if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
        elog(ERROR, "could not insert into whisperer.outbox");
}

}  // namespace

void record_events(const char* event_type, text* source, Jsonb* config_filter,
                   const NewEvent* events, int count) {
    UserContext saved = enter_owner(current_identity().owner);
    SPI_connect();
    int16 slot = current_slot();
    if (count == 1)
        insert_single(event_type, source, config_filter, events[0], slot);
    else
        for (int done = 0; done < count; done += run_length)
            insert_run(event_type, source, events + done, Min(run_length, count - done), slot);
    SPI_finish();
    leave_owner(saved);
    wake_workers_at_commit();
}

Oid extension_owner() {
    return current_identity().owner;
}

int64 my_incarnation() {
    return current_identity().incarnation;
}

void check_event_type_name(const char* event_type) {
    size_t length = strlen(event_type);
    const char* allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:/";
    if (length == 0 || length > event_type_bytes_max || strspn(event_type, allowed) != length)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("invalid event type name \"%s\"", event_type),
                errhint("Use 1 to %d of A-Z a-z 0-9 . _ - : /", event_type_bytes_max));
    if (strncmp(event_type, "whisperer-", 10) == 0)
        ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                errmsg("event type \"%s\" is reserved for operator events", event_type),
                errhint("Choose a name that does not start with \"whisperer-\"."));
}

bool may_publish(Oid role, const char* event_type, bool* registered) {
    Oid owner = current_identity().owner;
    Privilege& last = last_privilege;
    if (last.as_of != changes || last.role != role || strcmp(last.event_type, event_type) != 0) {
        last.as_of = 0;
        uint64 as_of = changes;
        Oid types[] = {OIDOID, TEXTOID};
        Datum values[] = {ObjectIdGetDatum(role), CStringGetTextDatum(event_type)};
        UserContext saved = enter_owner(owner);
        SPI_connect();
        if (SPI_execute_with_args("SELECT whisperer.may($1, t.name, 'publish') FROM "
                                  "whisperer.event_type t WHERE t.name OPERATOR(pg_catalog.=) $2",
                                  2, types, values, nullptr, true, 1) != SPI_OK_SELECT)
            elog(ERROR, "could not look up event type \"%s\"", event_type);
        last.registered = SPI_processed == 1;
        bool is_null = false;
        last.allowed =
            !last.registered || (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
                                                            SPI_tuptable->tupdesc, 1, &is_null)) &&
                                 !is_null);
        SPI_finish();
        leave_owner(saved);
        last.role = role;
        strlcpy(last.event_type, event_type, sizeof last.event_type);
        last.as_of = as_of;
    }
    *registered = last.registered;
    return last.allowed;
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_my_incarnation);

PGDLLEXPORT Datum whisperer_my_incarnation(PG_FUNCTION_ARGS) {
    PG_RETURN_INT64(whisperer::pg::my_incarnation());
}
}
