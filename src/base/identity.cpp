// Looking up and forgetting; see identity.h.
#include "src/base/identity.h"

#include "src/base/owner_context.h"
#include "src/base/transaction.h"

namespace whisperer::pg {

namespace {

// A change that arrives in the middle of a look-up wins over what the look-up found.
uint64 changes = 1;

Identity identity;

void on_relation_change(Datum, Oid relation) {
    if (relation == InvalidOid || relation == identity.outbox || relation == identity.event_type ||
        relation == identity.event_type_privilege)
        changes++;
}

void on_catalog_change(Datum, CacheId, uint32) {
    changes++;
}

void watch_for_changes() {
    static bool watching = false;
    if (watching)
        return;
    CacheRegisterRelcacheCallback(on_relation_change, 0);
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_catalog_change, 0);
    CacheRegisterSyscacheCallback(AUTHOID, on_catalog_change, 0);
    CacheRegisterSyscacheCallback(NAMESPACEOID, on_catalog_change, 0);
    watching = true;
}

int64 mix_with_database(int64 number) {
    return number ^ (int64)((uint64)MyDatabaseId * UINT64CONST(0x9E3779B97F4A7C15));
}

// Not by a statement, whose lock would last as long as the transaction, and have an update wait.
int rows_of_number_table(Oid table, int64* numbers, int numbers_max) {
    Relation relation = table_open(table, AccessShareLock);
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TableScanDesc scan = pg_begin_scan(relation, snapshot);
    TupleTableSlot* row = table_slot_create(relation, nullptr);
    int count = 0;
    while (count < numbers_max && table_scan_getnextslot(scan, ForwardScanDirection, row)) {
        bool is_null;
        numbers[count++] = DatumGetInt64(slot_getattr(row, 1, &is_null));
    }
    ExecDropSingleTupleTableSlot(row);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(relation, AccessShareLock);
    return count;
}

TimestampTz first_bookmark(int64 number, Oid owner) {
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(mix_with_database(number))};
    UserContext saved = enter_owner(owner);
    SPI_connect();
    if (run_query("SELECT pg_catalog.min(modified_at) FROM whisperer.bookmark WHERE "
                  "incarnation OPERATOR(pg_catalog.=) $1",
                  lengthof(types), types, values, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.bookmark");
    bool is_null;
    Datum at = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    SPI_finish();
    leave_owner(saved);
    return is_null ? DT_NOEND : DatumGetTimestampTz(at);
}

// Until 1.1 the number was a row, which a replicated TRUNCATE could take away and a publication FOR
// ALL TABLES bring a second of: then this database's own is the one that its bookmarks have had for
// longer.
int64 number_from_table(Oid schema, Oid owner) {
    int64 numbers[16];
    Oid table = get_relname_relid("incarnation", schema);
    int count = OidIsValid(table) ? rows_of_number_table(table, numbers, lengthof(numbers)) : 0;
    if (count == 0)
        ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
                errmsg("table whisperer.incarnation has no row"),
                errhint("ALTER EXTENSION whisperer UPDATE makes up for it."));
    int own = 0;
    TimestampTz own_since = DT_NOEND;
    for (int i = 0; i < count && count > 1; i++) {
        TimestampTz since = first_bookmark(numbers[i], owner);
        if (since < own_since) {
            own = i;
            own_since = since;
        }
    }
    return numbers[own];
}

Oid function_in(Oid schema, const char* name, const Oid* types, int count) {
    return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
                           PointerGetDatum(buildoidvector(types, count)), ObjectIdGetDatum(schema));
}

// Not by its name alone: where it is not there yet, anybody may have made one.
Oid find_internal_schema(Oid schema) {
    Oid internal = get_namespace_oid("whisperer_internal", true);
    bool is_ours = OidIsValid(internal) && getExtensionOfObject(NamespaceRelationId, internal) ==
                                               get_extension_oid("whisperer", true);
    return is_ours ? internal : schema;
}

int64 incarnation_number(const Identity& found, Oid schema) {
    Oid function = function_in(found.internal_schema, "incarnation_number", nullptr, 0);
    return OidIsValid(function) ? DatumGetInt64(OidFunctionCall0(function))
                                : number_from_table(schema, found.owner);
}

}  // namespace

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
    for (int slot = 0; slot < slot_count; slot++) {
        found.partitions[slot] = get_relname_relid(psprintf("outbox_%d", slot), schema);
        found.event_keys[slot] = get_relname_relid(psprintf("event_key_%d", slot), schema);
        found.key_decisions[slot] = get_relname_relid(psprintf("key_decision_%d", slot), schema);
    }
    found.event_type = get_relname_relid("event_type", schema);
    found.event_type_privilege = get_relname_relid("event_type_privilege", schema);
    Relation relation = table_open(found.outbox, AccessShareLock);
    found.owner = relation->rd_rel->relowner;
    table_close(relation, AccessShareLock);

    found.internal_schema = find_internal_schema(schema);
    found.incarnation = mix_with_database(incarnation_number(found, schema));
    identity = found;
    return identity;
}

uint64 change_number() {
    return changes;
}

Oid extension_owner() {
    return current_identity().owner;
}

Oid internal_function(const char* name, const Oid* types, int count) {
    return function_in(current_identity().internal_schema, name, types, count);
}

void require_usage() {
    AclResult allowed = pg_schema_usage_check(get_namespace_oid("whisperer", false), GetUserId());
    if (allowed != ACLCHECK_OK)
        aclcheck_error(allowed, OBJECT_SCHEMA, "whisperer");
}

int64 my_incarnation() {
    return current_identity().incarnation;
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_my_incarnation);

PGDLLEXPORT Datum whisperer_my_incarnation(PG_FUNCTION_ARGS) {
    PG_RETURN_INT64(whisperer::pg::my_incarnation());
}
}
