// Registering event types that a trigger recorded without anybody having registered them.
//
// The trigger must not do it: the second writer would wait for the first one's commit.  The worker
// can, but must not wait either, for somebody may hold the same name in an open transaction.  Where
// tables of several owners record the type it is nobody's, until one of them is a member of the
// others or a superuser registers it: its owner would see the events of all.  It is nobody's,
// too, if another role owned the name before.
#include "src/read/register_types.h"

#include "src/base/boundary.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"

namespace whisperer::pg {

namespace {

constexpr int64 retry_us = 5 * USECS_PER_SEC;

void insert_type(void* argument) {
    UnregisteredType* type = (UnregisteredType*)argument;
    (void)set_config_option("lock_timeout", "100ms", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
                            true, 0, false);
    Oid types[] = {TEXTOID, OIDOID};
    Datum values[] = {CStringGetTextDatum(type->name), ObjectIdGetDatum(type->recorder)};
    int result = run_query(
        "INSERT INTO whisperer.event_type (name, owner, owner_name) SELECT $1, r.oid, r.rolname "
        "FROM pg_roles r WHERE r.oid = $2 "
        "AND NOT EXISTS (SELECT FROM whisperer_internal.capture_triggers($1) t JOIN pg_class o "
        "ON o.oid = t.relation WHERE NOT pg_has_role(r.oid, o.relowner, 'MEMBER')) "
        "AND NOT EXISTS (SELECT FROM whisperer.event_type_claim k WHERE k.event_type = $1 "
        "AND NOT pg_has_role(r.oid, whisperer_internal.claim_owner(k), 'MEMBER')) "
        "ON CONFLICT (name) DO NOTHING",
        lengthof(types), types, values, nullptr, false, 0);
    if (result != SPI_OK_INSERT)
        elog(ERROR, "could not register event type \"%s\"", type->name);
    type->is_refused = SPI_processed == 0;
}

}  // namespace

UnregisteredTypes* create_unregistered_types(MemoryContext context) {
    return (UnregisteredTypes*)MemoryContextAllocZero(context, sizeof(UnregisteredTypes));
}

void note_unregistered(Worker* worker, const char* event_type, Oid recorder) {
    UnregisteredTypes* types = worker->unregistered;
    if (types->count == (int)lengthof(types->list))
        return;
    for (int i = 0; i < types->count; i++)
        if (strcmp(types->list[i].name, event_type) == 0)
            return;
    UnregisteredType* type = &types->list[types->count++];
    strlcpy(type->name, event_type, sizeof type->name);
    type->recorder = recorder;
}

bool types_are_due(const Worker* worker, SteadyTime now) {
    return worker->unregistered->count > 0 && worker->unregistered->register_at <= now;
}

// What failed is forgotten, not kept: the type's next event brings it here again.
void register_types(Worker* worker) {
    UnregisteredTypes* types = worker->unregistered;
    bool failed = false;
    for (int i = 0; i < types->count; i++) {
        UnregisteredType* type = &types->list[i];
        if (!try_in_subtransaction(insert_type, type, "could not register an event type") ||
            type->is_refused)
            failed = true;
    }
    types->count = 0;
    if (failed)
        types->register_at = steady_now() + retry_us;
}

}  // namespace whisperer::pg
