// See capture_triggers.h.
#include "src/record/capture_triggers.h"

namespace whisperer::pg {

namespace {

void visit(HeapTuple tuple, TupleDesc desc, VisitTrigger action, void* argument) {
    Form_pg_trigger trigger = (Form_pg_trigger)GETSTRUCT(tuple);
    if (trigger->tgnargs < 1 || !is_capture_function(trigger->tgfoid))
        return;
    bool is_null;
    Datum bytes = heap_getattr(tuple, Anum_pg_trigger_tgargs, desc, &is_null);
    if (is_null)
        return;
    char** arguments = (char**)palloc(sizeof(char*) * trigger->tgnargs);
    char* at = VARDATA_ANY(DatumGetByteaPP(bytes));
    for (int i = 0; i < trigger->tgnargs; i++) {
        arguments[i] = at;
        at += strlen(at) + 1;
    }
    action(trigger, arguments, trigger->tgnargs, argument);
}

}  // namespace

bool is_capture_function(Oid function) {
    const char* name = get_func_name(function);
    return name && strcmp(name, "capture") == 0 &&
           get_func_namespace(function) == get_namespace_oid("whisperer", true);
}

void visit_capture_triggers(Oid table, VisitTrigger action, void* argument) {
    Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(table));
    SysScanDesc scan = systable_beginscan(triggers, TriggerRelidNameIndexId, OidIsValid(table),
                                          nullptr, OidIsValid(table) ? 1 : 0, &key);
    while (HeapTuple tuple = systable_getnext(scan))
        visit(tuple, RelationGetDescr(triggers), action, argument);
    systable_endscan(scan);
    table_close(triggers, AccessShareLock);
}

}  // namespace whisperer::pg
