// See made_on.h.
#include "src/record/made_on.h"

#include "src/record/capture_triggers.h"

namespace whisperer::pg {

namespace {

// A partition's trigger may be a clone of one further up; one that the partition's own owner made
// must not count as the partitioned table's.
Oid table_of_clone(Oid trigger) {
    Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    Oid table = InvalidOid;
    while (OidIsValid(trigger)) {
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
                    ObjectIdGetDatum(trigger));
        SysScanDesc scan = systable_beginscan(triggers, TriggerOidIndexId, true, nullptr, 1, &key);
        HeapTuple tuple = systable_getnext(scan);
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "could not find trigger %u", trigger);
        table = ((Form_pg_trigger)GETSTRUCT(tuple))->tgrelid;
        trigger = ((Form_pg_trigger)GETSTRUCT(tuple))->tgparentid;
        systable_endscan(scan);
    }
    table_close(triggers, AccessShareLock);
    return table;
}

List* add_parents(List* tables, Oid child) {
    Relation inherits = table_open(InheritsRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(child));
    SysScanDesc scan =
        systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, nullptr, 1, &key);
    while (HeapTuple tuple = systable_getnext(scan))
        tables = list_append_unique_oid(tables, ((Form_pg_inherits)GETSTRUCT(tuple))->inhparent);
    systable_endscan(scan);
    table_close(inherits, AccessShareLock);
    return tables;
}

struct Search {
    const Trigger& childs;
    bool found;
};

// A statement trigger of the parent's gets the children's rows itself.
void compare(Form_pg_trigger trigger, char** arguments, int count, void* argument) {
    Search* search = (Search*)argument;
    const Trigger& childs = search->childs;
    if (!TRIGGER_FOR_ROW(trigger->tgtype) || trigger->tgenabled == TRIGGER_DISABLED ||
        count != childs.tgnargs - 1)
        return;
    int same = 0;
    for (int i = 0; i < childs.tgnargs && same < count; i++)
        same += strcmp(childs.tgargs[i], as_parent_option) != 0 &&
                strcmp(childs.tgargs[i], arguments[same]) == 0;
    constexpr int16 operations = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
    search->found |= same == count && (trigger->tgtype & childs.tgtype & operations) != 0;
}

// The nearest.  What it is given by its arguments only: who owns the child may make such a trigger,
// and gets no more by it than what the parent's says of the parent's rows, of which these are some.
Oid parent_with(const Trigger& trigger, Oid child) {
    List* tables = list_make1_oid(child);
    for (int i = 0; i < list_length(tables); i++) {
        Search search = {trigger, false};
        if (i > 0)
            visit_capture_triggers(list_nth_oid(tables, i), compare, &search);
        if (search.found)
            return list_nth_oid(tables, i);
        tables = add_parents(tables, list_nth_oid(tables, i));
    }
    return InvalidOid;
}

}  // namespace

bool is_as_parent(const Trigger& trigger) {
    for (int i = 1; i < trigger.tgnargs; i++)
        if (strcmp(trigger.tgargs[i], as_parent_option) == 0)
            return true;
    return false;
}

Oid table_of_trigger(Relation relation, const Trigger& trigger) {
    if (relation->rd_rel->relispartition)
        return table_of_clone(trigger.tgoid);
    return is_as_parent(trigger) ? parent_with(trigger, RelationGetRelid(relation))
                                 : RelationGetRelid(relation);
}

}  // namespace whisperer::pg
