// The trigger on everything that the hook set is made of (hooks, secrets, event types, privileges,
// control).  It appends a request, which the worker reads under the snapshot of its next page: the
// hook set of a page is then exactly that of the page's snapshot.  And it tells the other backends
// to forget what they cached.
//
// Its argument is the column that has the hook's id, where there is one: FOR EACH ROW, the request
// names the hook, and a change of one costs the worker what one costs.
#include "src/base/identity.h"
#include "src/base/owner_context.h"
#include "src/base/transaction.h"
#include "src/hooks/hook_set.h"
#include "src/processes/shared_state.h"
#include "src/record/wakeup.h"

namespace whisperer::pg {

namespace {

int64 hook_id_in(const TriggerData& trigger, HeapTuple row) {
    TupleDesc desc = RelationGetDescr(trigger.tg_relation);
    bool is_null;
    return DatumGetInt64(
        SPI_getbinval(row, desc, SPI_fnumber(desc, trigger.tg_trigger->tgargs[0]), &is_null));
}

void add_request(int64 hook_id) {
    Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(hook_id)};
    UserContext saved = enter_owner(extension_owner());
    SPI_connect();
    if (run_query("INSERT INTO whisperer.request (kind, hook_id) VALUES ('hooks', $1)",
                  lengthof(types), types, values, hook_id == changed_rights ? "n" : nullptr, false,
                  0) != SPI_OK_INSERT)
        elog(ERROR, "could not insert into whisperer.request");
    SPI_finish();
    leave_owner(saved);
}

void add_requests(const TriggerData& trigger) {
    if (trigger.tg_trigger->tgnargs == 0) {
        add_request(changed_rights);
        return;
    }
    if (TRIGGER_FIRED_FOR_STATEMENT(trigger.tg_event)) {
        add_request(changed_all_hooks);
        return;
    }
    int64 hook_id = hook_id_in(trigger, trigger.tg_trigtuple);
    add_request(hook_id);
    if (TRIGGER_FIRED_BY_UPDATE(trigger.tg_event) &&
        hook_id_in(trigger, trigger.tg_newtuple) != hook_id)
        add_request(hook_id_in(trigger, trigger.tg_newtuple));
}

}  // namespace

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_note_change);
PG_FUNCTION_INFO_V1(whisperer_wake_workers);
PG_FUNCTION_INFO_V1(whisperer_announce);

PGDLLEXPORT Datum whisperer_note_change(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("whisperer_internal.note_change can only be called as a trigger"));
    TriggerData* trigger = (TriggerData*)fcinfo->context;
    whisperer::pg::add_requests(*trigger);
    CacheInvalidateRelcache(trigger->tg_relation);
    whisperer::pg::wake_workers_at_commit();
    return (Datum)0;
}

PGDLLEXPORT Datum whisperer_wake_workers(PG_FUNCTION_ARGS) {
    whisperer::pg::wake_workers_at_commit();
    PG_RETURN_VOID();
}

// Last statement of the install script.
PGDLLEXPORT Datum whisperer_announce(PG_FUNCTION_ARGS) {
    whisperer::pg::announce_at_commit();
    if (!whisperer::pg::shared_state())
        ereport(WARNING, errmsg("whisperer records events but does not deliver them yet"),
                errdetail("The library is not in shared_preload_libraries."),
                errhint("Add it (ALTER SYSTEM SET shared_preload_libraries = 'whisperer'; mind "
                        "what is there already) and restart the server."));
    PG_RETURN_VOID();
}
}
