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

constexpr int16 all_operations = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

struct Search {
    const Trigger& childs;
    int16 operations;  // of those that were found
};

bool is_as_parent(char** arguments, int count) {
    for (int i = 1; i < count; i++)
        if (strcmp(arguments[i], as_parent_option) == 0)
            return true;
    return false;
}

// A statement trigger of the parent's gets the children's rows itself.
void add_parents_operations(Form_pg_trigger trigger, char** arguments, int count, void* argument) {
    Search* search = (Search*)argument;
    const Trigger& childs = search->childs;
    if (!TRIGGER_FOR_ROW(trigger->tgtype) || trigger->tgenabled == TRIGGER_DISABLED ||
        count != childs.tgnargs - 1)
        return;
    int same = 0;
    for (int i = 0; i < childs.tgnargs && same < count; i++)
        same += strcmp(childs.tgargs[i], as_parent_option) != 0 &&
                strcmp(childs.tgargs[i], arguments[same]) == 0;
    if (same == count)
        search->operations |= trigger->tgtype & all_operations;
}

void add_own_operations(Form_pg_trigger trigger, char** arguments, int count, void* argument) {
    Search* search = (Search*)argument;
    if (trigger->tgenabled != TRIGGER_DISABLED && !is_as_parent(arguments, count) &&
        strcmp(arguments[0], search->childs.tgargs[0]) == 0)
        search->operations |= trigger->tgtype & all_operations;
}

// The nearest.  What it is given by its arguments only: who owns the child may make such a trigger,
// and gets no more by it than what the parent's says of the parent's rows, of which these are some.
Oid parent_with(const Trigger& trigger, Oid child, int16* operations) {
    Search own = {trigger, 0};
    visit_capture_triggers(child, add_own_operations, &own);
    List* tables = add_parents(NIL, child);
    for (int i = 0; i < list_length(tables); i++) {
        Search search = {trigger, 0};
        visit_capture_triggers(list_nth_oid(tables, i), add_parents_operations, &search);
        *operations = search.operations & ~own.operations & trigger.tgtype;
        if (*operations != 0)
            return list_nth_oid(tables, i);
        tables = add_parents(tables, list_nth_oid(tables, i));
    }
    return InvalidOid;
}

}  // namespace

bool is_as_parent(const Trigger& trigger) {
    return is_as_parent(trigger.tgargs, trigger.tgnargs);
}

// A partition has no parent but the table that it is a partition of, which has no such trigger.
Oid table_of_trigger(Relation relation, const Trigger& trigger, int16* operations) {
    *operations = all_operations;
    if (is_as_parent(trigger))
        return relation->rd_rel->relispartition
                   ? InvalidOid
                   : parent_with(trigger, RelationGetRelid(relation), operations);
    return relation->rd_rel->relispartition ? table_of_clone(trigger.tgoid)
                                            : RelationGetRelid(relation);
}

}  // namespace whisperer::pg
