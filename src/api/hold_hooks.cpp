// A role's hooks are checked beside each other: no two may send an event to one URL, and there may
// be so many.  Who writes one holds the role's hooks until the transaction ends, so that two that
// are made at once do not both find the other missing.
//
// The lock is one that no SQL can name, unlike an advisory one: a stranger cannot hold up others.
#include "src/pg.h"

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_hold_hooks);

PGDLLEXPORT Datum whisperer_hold_hooks(PG_FUNCTION_ARGS) {
    Oid owner = PG_GETARG_OID(0);
    // A standby refuses the change itself, in the words that are expected of it.
    if (RecoveryInProgress() || !is_member_of_role(GetUserId(), owner))
        PG_RETURN_VOID();
    Oid hooks = get_relname_relid("hook_definition", get_namespace_oid("whisperer", false));
    LockDatabaseObject(hooks, owner, 0, ExclusiveLock);
    PG_RETURN_VOID();
}
}
