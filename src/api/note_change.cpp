// The statement trigger on everything that the hook set is made of (hooks, secrets, event types,
// privileges, control).  It appends a request, which the worker reads under the snapshot of its
// next page: the hook set of a page is then exactly that of the page's snapshot.  And it tells the
// other backends to forget what they cached.
#include "src/base/identity.h"
#include "src/base/owner_context.h"
#include "src/processes/shared_state.h"
#include "src/record/wakeup.h"

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_note_change);
PG_FUNCTION_INFO_V1(whisperer_wake_workers);
PG_FUNCTION_INFO_V1(whisperer_announce);

PGDLLEXPORT Datum whisperer_note_change(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("whisperer_internal.note_change can only be called as a trigger"));
    TriggerData* trigger = (TriggerData*)fcinfo->context;
    whisperer::pg::UserContext saved = whisperer::pg::enter_owner(whisperer::pg::extension_owner());
    SPI_connect();
    if (SPI_execute("INSERT INTO whisperer.request (kind) VALUES ('hooks')", false, 0) !=
        SPI_OK_INSERT)
        elog(ERROR, "could not insert into whisperer.request");
    SPI_finish();
    whisperer::pg::leave_owner(saved);
    CacheInvalidateRelcache(trigger->tg_relation);
    whisperer::pg::wake_workers_at_commit();
    return PointerGetDatum(nullptr);
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
