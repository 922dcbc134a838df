// See trigger_check.h.
#include "src/record/trigger_check.h"

#include "src/base/ring.h"
#include "src/record/capture_options.h"
#include "src/record/record.h"

namespace whisperer::pg {

namespace {

ProcessUtility_hook_type previous_hook = nullptr;

bool is_installed() {
    return OidIsValid(get_namespace_oid("whisperer", true)) &&
           OidIsValid(get_extension_oid("whisperer", true));
}

// --- what a trigger's arguments name
// ---------------------------------------------------------------

// Called with each capture trigger: its row of pg_trigger and its arguments after the event type.
using Visit = void (*)(Form_pg_trigger trigger, char** options, int count, void* argument);

void visit(HeapTuple tuple, TupleDesc desc, Visit action, void* argument) {
    Form_pg_trigger trigger = (Form_pg_trigger)GETSTRUCT(tuple);
    if (trigger->tgnargs < 2 || !is_capture_function(trigger->tgfoid))
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
    action(trigger, arguments + 1, trigger->tgnargs - 1, argument);
}

// Of one table, or of all.  Only pg_trigger is read: no table is opened or locked.
void visit_triggers(Oid table, Visit action, void* argument) {
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

const char* value_of(const char* option, const char* name) {
    size_t length = strlen(name);
    return strncmp(option, name, length) == 0 && option[length] == '=' ? option + length + 1
                                                                       : nullptr;
}

void refuse_for(Form_pg_trigger trigger, const char* what, const char* named) {
    ereport(ERROR, errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
            errmsg("%s %s is named by trigger \"%s\" on table \"%s\"", what, named,
                   NameStr(trigger->tgname), get_rel_name(trigger->tgrelid)),
            errdetail("Every write to the table would fail."),
            errhint("Drop the trigger first, and create it anew afterwards."));
}

// --- columns
// ------------------------------------------------------------------------------------------

void refuse_column(Form_pg_trigger trigger, char** options, int count, void* argument) {
    const char* column = (const char*)argument;
    constexpr const char* lists[] = {"columns", "changed", "key"};
    for (int i = 0; i < count; i++)
        for (const char* name : lists) {
            const char* list = value_of(options[i], name);
            List* names;
            if (list == nullptr || !SplitIdentifierString(pstrdup(list), ',', &names))
                continue;
            ListCell* cell;
            foreach (cell, names)
                if (strcmp((const char*)lfirst(cell), column) == 0)
                    refuse_for(trigger, "column", quote_identifier(column));
        }
}

// What the statement does to the children it does to their columns, too.
void check_column(const RangeVar* relation, const char* column) {
    Oid table = RangeVarGetRelid(relation, NoLock, true);
    if (!OidIsValid(table))
        return;
    List* tables =
        relation->inh ? find_all_inheritors(table, NoLock, nullptr) : list_make1_oid(table);
    ListCell* cell;
    foreach (cell, tables)
        visit_triggers(lfirst_oid(cell), refuse_column, const_cast<char*>(column));
}

// --- serializers
// --------------------------------------------------------------------------------------

struct Named {
    const char* schema;
    const char* function;  // null: all of the schema
};

void refuse_serializer(Form_pg_trigger trigger, char** options, int count, void* argument) {
    const Named* named = (const Named*)argument;
    for (int i = 0; i < count; i++) {
        const char* value = value_of(options[i], "serializer");
        List* names = value ? pg_qualified_names(value) : NIL;
        if (list_length(names) == 2 && strcmp(strVal(linitial(names)), named->schema) == 0 &&
            (!named->function || strcmp(strVal(lsecond(names)), named->function) == 0))
            refuse_for(trigger, "serializer", value);
    }
}

void check_function(const ObjectWithArgs* object, ObjectType kind) {
    Oid function = LookupFuncWithArgs(kind, const_cast<ObjectWithArgs*>(object), true);
    if (!OidIsValid(function))
        return;
    Named named = {get_namespace_name(get_func_namespace(function)), get_func_name(function)};
    visit_triggers(InvalidOid, refuse_serializer, &named);
}

void check_schema(const char* schema) {
    Named named = {schema, nullptr};
    visit_triggers(InvalidOid, refuse_serializer, &named);
}

// An extension's objects move together with its schema's name.
void check_extension(const char* name) {
    Oid extension = get_extension_oid(name, true);
    HeapTuple tuple = nullptr;
    Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(extension));
    SysScanDesc scan = systable_beginscan(extensions, ExtensionOidIndexId, true, nullptr, 1, &key);
    tuple = systable_getnext(scan);
    if (HeapTupleIsValid(tuple))
        check_schema(get_namespace_name(((Form_pg_extension)GETSTRUCT(tuple))->extnamespace));
    systable_endscan(scan);
    table_close(extensions, AccessShareLock);
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
            if (is_capture_function(trigger.tgfoid))
                require_publisher(relation, trigger, *capture_options(relation, &trigger));
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
        refuse_kind(relation, trigger);
        const CaptureOptions* options = capture_options(relation, &trigger);
        require_whole(*options);
        if (!TRIGGER_FOR_ROW(trigger.tgtype))
            check_transition_tables(relation, trigger, *options, trigger.tgtype);
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
    if (!is_interesting || (owned == NIL && !IsA(node, CreateTrigStmt)))
        return;
    CommandCounterIncrement();
    check_publishers(owned);
    if (IsA(node, CreateTrigStmt))
        check_new((CreateTrigStmt*)node);
}

}  // namespace

void install_trigger_check() {
    previous_hook = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
}

}  // namespace whisperer::pg
