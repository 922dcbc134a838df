// Looking up and forgetting; see identity.h.
#include "src/base/identity.h"

#include "src/base/owner_context.h"

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
    for (int slot = 0; slot < slot_count; slot++)
        found.partitions[slot] = get_relname_relid(psprintf("outbox_%d", slot), schema);
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

uint64 change_number() {
    return changes;
}

Oid extension_owner() {
    return current_identity().owner;
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
