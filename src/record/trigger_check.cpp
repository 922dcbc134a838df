// See trigger_check.h.
#include "src/record/trigger_check.h"

#include "src/base/ring.h"
#include "src/record/capture_options.h"
#include "src/record/made_on.h"
#include "src/record/named_by_triggers.h"
#include "src/record/record.h"
#include "src/record/serializer_rights.h"

namespace whisperer::pg {

namespace {

ProcessUtility_hook_type previous_hook = nullptr;

// Not while a script installs or updates it, which may find it in any state.
bool is_installed() {
    Oid extension = get_extension_oid("whisperer", true);
    return OidIsValid(get_namespace_oid("whisperer", true)) && OidIsValid(extension) &&
           !(creating_extension && CurrentExtensionObject == extension);
}

// --- owners
// -------------------------------------------------------------------------------------------

// Tables that may get another owner, with the one that they have.
struct Owned {
    Oid table;
    Oid owner;
};

List* note_owner(List* owned, Oid table, Oid owner) {
    Owned* one = (Owned*)palloc(sizeof(Owned));
    *one = {table, owner};
    return lappend(owned, one);
}

Oid owner_of(Oid table) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
    if (!HeapTupleIsValid(tuple))
        return InvalidOid;
    Oid owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

struct Search {
    List* roles;
    List* owned;
};

// Arguments are no matter: any capture trigger's table.
void note_if_owned(Form_pg_trigger trigger, Search* search) {
    Oid owner = owner_of(trigger->tgrelid);
    if (is_capture_function(trigger->tgfoid) && list_member_oid(search->roles, owner))
        search->owned = note_owner(search->owned, trigger->tgrelid, owner);
}

List* owned_by(const ReassignOwnedStmt* statement) {
    Search search = {roleSpecsToIds(statement->roles), NIL};
    Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    SysScanDesc scan = systable_beginscan(triggers, InvalidOid, false, nullptr, 0, nullptr);
    while (HeapTuple tuple = systable_getnext(scan))
        note_if_owned((Form_pg_trigger)GETSTRUCT(tuple), &search);
    systable_endscan(scan);
    table_close(triggers, AccessShareLock);
    return search.owned;
}

List* altered_by(const AlterTableStmt* statement) {
    ListCell* cell;
    foreach (cell, statement->cmds)
        if (((AlterTableCmd*)lfirst(cell))->subtype == AT_ChangeOwner) {
            Oid table = RangeVarGetRelid(statement->relation, NoLock, true);
            return OidIsValid(table) ? note_owner(NIL, table, owner_of(table)) : NIL;
        }
    return NIL;
}

void check_publishers(List* owned) {
    ListCell* cell;
    foreach (cell, owned) {
        const Owned* one = (const Owned*)lfirst(cell);
        if (owner_of(one->table) == one->owner || !OidIsValid(owner_of(one->table)))
            continue;
        // Its owner was changed: this transaction has locked it.
        Relation relation = relation_open(one->table, AccessShareLock);
        TriggerDesc* triggers = copied_triggers(relation);
        for (int i = 0; triggers && i < triggers->numtriggers; i++) {
            const Trigger& trigger = triggers->triggers[i];
            // What is a parent's is published with the rights of the parent's owner.
            if (is_capture_function(trigger.tgfoid) && !is_as_parent(trigger))
                require_publisher(relation, trigger, *capture_options(relation, &trigger));
        }
        relation_close(relation, NoLock);
    }
}

// --- parents
// -----------------------------------------------------------------------------------------

// Null: the statement parts no table from its parent.
const RangeVar* parted_by(const AlterTableStmt* statement, int* level) {
    ListCell* cell;
    foreach (cell, statement->cmds) {
        const AlterTableCmd* command = (const AlterTableCmd*)lfirst(cell);
        *level = ERROR;
        if (command->subtype == AT_DropInherit)
            return statement->relation;
        if (command->subtype != AT_DetachPartition)
            continue;
        // CONCURRENTLY has committed when we look.
        if (((PartitionCmd*)command->def)->concurrent)
            *level = WARNING;
        return ((PartitionCmd*)command->def)->name;
    }
    return nullptr;
}

// A serializer may take rows of a parent.
void check_parted(const AlterTableStmt* statement) {
    int level;
    const RangeVar* parted = parted_by(statement, &level);
    Oid table = parted ? RangeVarGetRelid(parted, NoLock, true) : InvalidOid;
    if (!OidIsValid(table))
        return;
    ListCell* cell;
    foreach (cell, find_all_inheritors(table, AccessShareLock, nullptr)) {
        Relation relation = relation_open(lfirst_oid(cell), NoLock);
        TriggerDesc* triggers = copied_triggers(relation);
        for (int i = 0; triggers && i < triggers->numtriggers; i++) {
            if (!is_capture_function(triggers->triggers[i].tgfoid))
                continue;
            const CaptureOptions* options = capture_options(relation, &triggers->triggers[i]);
            if (options->gone_code == ERRCODE_UNDEFINED_FUNCTION)
                ereport(level, errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                        errmsg("%s", options->gone),
                        errdetail("It takes rows of the table's parent. The trigger's events would "
                                  "fail."),
                        errhint("Drop the trigger first, and create it anew afterwards."));
        }
        relation_close(relation, NoLock);
    }
}

// --- a new trigger
// ------------------------------------------------------------------------------------

// So that DROP FUNCTION says what needs it.
void depend_on_serializer(const Trigger& trigger, const CaptureOptions& options) {
    if (!OidIsValid(options.serializer))
        return;
    ObjectAddress dependent = {TriggerRelationId, trigger.tgoid, 0};
    ObjectAddress function = {ProcedureRelationId, options.serializer, 0};
    recordDependencyOn(&dependent, &function, DEPENDENCY_NORMAL);
}

// A superuser may be restoring a dump, in which a right may have been taken away since.
void check_new_publisher(Relation relation, const Trigger& trigger, const CaptureOptions& options) {
    if (superuser())
        warn_of_publisher(options);
    else
        require_publisher(relation, trigger, options);
}

// Its events would go to nobody, and nobody would be told: a mistyped name is seen here alone.
void warn_of_unregistered(const Trigger& trigger, const CaptureOptions& options) {
    bool registered;
    (void)may_publish(options.table_owner, options.event_type, &registered);
    if (registered)
        return;
    ereport(WARNING, errcode(ERRCODE_WARNING),
            errmsg("trigger \"%s\" records event type \"%s\", which is not registered",
                   trigger.tgname, options.event_type),
            errhint("Unless the name is mistyped: SELECT whisperer.register_event('%s');",
                    options.event_type));
}

void refuse(const Trigger& trigger, const char* problem, const char* hint) {
    ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
            errmsg("trigger \"%s\": whisperer.capture %s", trigger.tgname, problem),
            errhint("%s", hint));
}

void refuse_kind(Relation relation, const Trigger& trigger) {
    if (TRIGGER_FOR_TRUNCATE(trigger.tgtype))
        refuse(trigger, "does not support TRUNCATE",
               "A TRUNCATE has no rows to tell of; call whisperer.deliver_event from a trigger "
               "function of your own.");
    if (is_in_ring(RelationGetRelid(relation)))
        refuse(trigger, "cannot capture the table that its events and their results are written to",
               "An operator hook tells of failures: subscribe to whisperer-*.");
    if (!TRIGGER_FOR_AFTER(trigger.tgtype))
        refuse(trigger, "must fire AFTER the change",
               "Create the trigger as AFTER INSERT, UPDATE or DELETE.");
}

// Refuses what no write of any row could make an event with.
const CaptureOptions* checked_options(Relation relation, const Trigger& trigger) {
    refuse_kind(relation, trigger);
    const CaptureOptions* options = capture_options(relation, &trigger);
    require_whole(*options);
    if (!TRIGGER_FOR_ROW(trigger.tgtype))
        check_transition_tables(relation, trigger, *options, trigger.tgtype);
    return options;
}

void check_new(const CreateTrigStmt* statement) {
    Oid table = RangeVarGetRelid(statement->relation, NoLock, true);
    if (!OidIsValid(table))
        return;
    Relation relation = relation_open(table, AccessShareLock);
    TriggerDesc* triggers = copied_triggers(relation);
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (strcmp(trigger.tgname, statement->trigname) != 0 ||
            !is_capture_function(trigger.tgfoid))
            continue;
        const CaptureOptions* options = checked_options(relation, trigger);
        // In a restore the parent's may come later.
        if (options->is_orphan)
            continue;
        check_new_publisher(relation, trigger, *options);
        warn_of_unregistered(trigger, *options);
        depend_on_serializer(trigger, *options);
    }
    relation_close(relation, NoLock);
}

// --- statements
// ---------------------------------------------------------------------------------------

void check_renamed(const RenameStmt* statement) {
    switch (statement->renameType) {
        case OBJECT_COLUMN:
        case OBJECT_ATTRIBUTE:
            if (statement->relation)
                check_column(statement->relation, statement->subname);
            return;
        case OBJECT_FUNCTION:
        case OBJECT_ROUTINE:
            check_function((const ObjectWithArgs*)statement->object, statement->renameType);
            return;
        case OBJECT_SCHEMA:
            check_schema(statement->subname);
            return;
        default:
            return;
    }
}

void check_moved(const AlterObjectSchemaStmt* statement) {
    if (statement->objectType == OBJECT_FUNCTION || statement->objectType == OBJECT_ROUTINE)
        check_function((const ObjectWithArgs*)statement->object, statement->objectType);
    else if (statement->objectType == OBJECT_EXTENSION)
        check_extension(strVal(statement->object));
}

void check_dropped_columns(const AlterTableStmt* statement) {
    ListCell* cell;
    foreach (cell, statement->cmds) {
        const AlterTableCmd* command = (const AlterTableCmd*)lfirst(cell);
        if (command->subtype == AT_DropColumn)
            check_column(statement->relation, command->name);
    }
}

// What would break is refused before it is done.  Returns what is to be looked at afterwards.
List* check_before(Node* statement) {
    switch (nodeTag(statement)) {
        case T_AlterTableStmt:
            check_dropped_columns((AlterTableStmt*)statement);
            return altered_by((AlterTableStmt*)statement);
        case T_RenameStmt:
            check_renamed((RenameStmt*)statement);
            return NIL;
        case T_AlterObjectSchemaStmt:
            check_moved((AlterObjectSchemaStmt*)statement);
            return NIL;
        case T_ReassignOwnedStmt:
            return owned_by((ReassignOwnedStmt*)statement);
        default:
            return NIL;
    }
}

bool is_of_interest(Node* statement) {
    switch (nodeTag(statement)) {
        case T_CreateTrigStmt:
        case T_AlterTableStmt:
        case T_RenameStmt:
        case T_AlterObjectSchemaStmt:
        case T_ReassignOwnedStmt:
        case T_GrantStmt:
            return IsTransactionState() && is_installed();
        default:
            return false;
    }
}

void on_utility(PlannedStmt* statement, const char* query, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment* environment,
                DestReceiver* destination, QueryCompletion* completion) {
    ProcessUtility_hook_type run = previous_hook ? previous_hook : standard_ProcessUtility;
    Node* node = statement->utilityStmt;
    bool is_interesting = is_of_interest(node);
    List* owned = is_interesting ? check_before(node) : NIL;
    run(statement, query, read_only_tree, context, params, environment, destination, completion);
    if (!is_interesting || (owned == NIL && !IsA(node, CreateTrigStmt) &&
                            !IsA(node, AlterTableStmt) && !IsA(node, GrantStmt)))
        return;
    CommandCounterIncrement();
    check_publishers(owned);
    if (IsA(node, CreateTrigStmt))
        check_new((CreateTrigStmt*)node);
    if (IsA(node, CreateTrigStmt) || IsA(node, GrantStmt))
        warn_of_stopped_writers(node);
    if (IsA(node, AlterTableStmt))
        check_parted((AlterTableStmt*)node);
}

}  // namespace

void install_trigger_check() {
    previous_hook = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_check_trigger);

// (relation oid, trigger oid) -> (event_type text, is_registered boolean, serializer oid): raises
// what CREATE TRIGGER would.  A trigger that is none of ours, or that is gone: nulls.
PGDLLEXPORT Datum whisperer_check_trigger(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    TupleDesc result;
    if (get_call_result_type(fcinfo, nullptr, &result) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    Relation relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
    TriggerDesc* triggers = relation ? copied_triggers(relation) : nullptr;
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (trigger.tgoid != PG_GETARG_OID(1) || !is_capture_function(trigger.tgfoid))
            continue;
        const CaptureOptions* options = checked_options(relation, trigger);
        if (options->is_orphan)
            refuse(trigger,
                   "records nothing: no parent of the table has a trigger FOR EACH ROW "
                   "with the same arguments but as=parent",
                   "Drop it, unless the parent is to have such a trigger again.");
        require_publisher(relation, trigger, *options);
        bool is_registered;
        (void)may_publish(options->table_owner, options->event_type, &is_registered);
        values[0] = CStringGetTextDatum(options->event_type);
        values[1] = BoolGetDatum(is_registered);
        values[2] = ObjectIdGetDatum(options->serializer);
        nulls[0] = nulls[1] = false;
        nulls[2] = !OidIsValid(options->serializer);
    }
    if (relation)
        relation_close(relation, AccessShareLock);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(result), values, nulls));
}
}
