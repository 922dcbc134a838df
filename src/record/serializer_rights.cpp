// See serializer_rights.h.
#include "src/record/serializer_rights.h"

#include "src/base/identity.h"

namespace whisperer::pg {

namespace {

// Of a schema that is older than the library there is no such function.
void warn(Oid table, Oid serializer, Oid schema) {
    const Oid types[] = {OIDOID, OIDOID, OIDOID};
    Oid function = internal_function("warn_of_stopped_writers", types, lengthof(types));
    if (!OidIsValid(function))
        return;
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    (void)OidFunctionCall3(function, ObjectIdGetDatum(table), ObjectIdGetDatum(serializer),
                           ObjectIdGetDatum(schema));
    PopActiveSnapshot();
}

void warn_of_table(const RangeVar* name) {
    Oid table = RangeVarGetRelid(name, NoLock, true);
    if (OidIsValid(table))
        warn(table, InvalidOid, InvalidOid);
}

bool is_of_functions(const GrantStmt* grant) {
    return grant->objtype == OBJECT_FUNCTION || grant->objtype == OBJECT_PROCEDURE ||
           grant->objtype == OBJECT_ROUTINE;
}

void warn_of_revoked(const GrantStmt* revoke) {
    ListCell* cell;
    foreach (cell, revoke->objects) {
        if (revoke->targtype == ACL_TARGET_ALL_IN_SCHEMA) {
            warn(InvalidOid, InvalidOid, get_namespace_oid(strVal(lfirst(cell)), true));
            continue;
        }
        Oid function = LookupFuncWithArgs(revoke->objtype, (ObjectWithArgs*)lfirst(cell), true);
        if (OidIsValid(function))
            warn(InvalidOid, function, InvalidOid);
    }
}

}  // namespace

void warn_of_stopped_writers(Node* statement) {
    if (IsA(statement, CreateTrigStmt)) {
        warn_of_table(((CreateTrigStmt*)statement)->relation);
        return;
    }
    const GrantStmt* grant = (const GrantStmt*)statement;
    if (grant->targtype == ACL_TARGET_DEFAULTS)
        return;
    if (!grant->is_grant && is_of_functions(grant))
        warn_of_revoked(grant);
    ListCell* cell;
    if (grant->is_grant && grant->objtype == OBJECT_TABLE && grant->targtype == ACL_TARGET_OBJECT)
        foreach (cell, grant->objects)
            warn_of_table((const RangeVar*)lfirst(cell));
}

}  // namespace whisperer::pg
