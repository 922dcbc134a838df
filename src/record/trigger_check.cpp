// See trigger_check.h.
#include "src/record/trigger_check.h"

#include "src/base/transaction.h"
#include "src/record/capture_options.h"

namespace whisperer::pg {

namespace {

ProcessUtility_hook_type previous_hook = nullptr;

bool is_installed() {
    return OidIsValid(get_namespace_oid("whisperer", true)) &&
           OidIsValid(get_extension_oid("whisperer", true));
}

void check_definition(Relation relation, const Trigger& trigger) {
    if (!TRIGGER_FOR_AFTER(trigger.tgtype))
        ereport(
            ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
            errmsg("trigger \"%s\": whisperer.capture must fire AFTER the change", trigger.tgname),
            errhint("Create the trigger as AFTER INSERT, UPDATE or DELETE."));
    const CaptureOptions* options = capture_options(relation, &trigger);
    if (!TRIGGER_FOR_ROW(trigger.tgtype))
        check_transition_tables(relation, trigger, *options, trigger.tgtype);
}

// may_change_rights: the statement made the trigger or changed whose the table is.
void check_table(Oid table, bool may_change_rights) {
    Relation relation = try_relation_open(table, AccessShareLock);
    if (relation == nullptr)
        return;
    TriggerDesc* triggers = relation->trigdesc;
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (!is_capture_function(trigger.tgfoid))
            continue;
        check_definition(relation, trigger);
        if (may_change_rights)
            require_publisher(relation, trigger, *capture_options(relation, &trigger));
    }
    relation_close(relation, NoLock);
}

void check_tables(Oid table) {
    ListCell* cell;
    foreach (cell, find_all_inheritors(table, NoLock, nullptr))
        check_table(lfirst_oid(cell), false);
}

// So that DROP FUNCTION says what needs it.
void depend_on_serializer(Oid table, const char* trigger_name) {
    Relation relation = relation_open(table, AccessShareLock);
    TriggerDesc* triggers = relation->trigdesc;
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger& trigger = triggers->triggers[i];
        if (strcmp(trigger.tgname, trigger_name) != 0 || !is_capture_function(trigger.tgfoid))
            continue;
        Oid serializer = capture_options(relation, &trigger)->serializer;
        ObjectAddress dependent = {TriggerRelationId, trigger.tgoid, 0};
        ObjectAddress function = {ProcedureRelationId, serializer, 0};
        if (OidIsValid(serializer))
            recordDependencyOn(&dependent, &function, DEPENDENCY_NORMAL);
    }
    relation_close(relation, NoLock);
}

// The tables that a query of one parameter finds, once the statement has been done: not read-only,
// or it would look with the statement's own snapshot.
void check_found(const char* query, Oid parameter, bool may_change_rights) {
    const Oid types[] = {OIDOID};
    Datum values[] = {ObjectIdGetDatum(parameter)};
    SPI_connect();
    if (SPI_execute_with_args(query, 1, const_cast<Oid*>(types), values, nullptr, false, 0) !=
        SPI_OK_SELECT)
        elog(ERROR, "could not look for capture triggers");
    for (uint64 row = 0; row < SPI_processed; row++) {
        check_table(DatumGetObjectId(datum_column((int)row, 1)), may_change_rights);
    }
    SPI_finish();
}

void check_owned_tables(Oid owner) {
    check_found(
        "SELECT DISTINCT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_trigger t ON "
        "t.tgrelid OPERATOR(pg_catalog.=) c.oid WHERE c.relowner OPERATOR(pg_catalog.=) $1 "
        "AND NOT t.tgisinternal",
        owner, true);
}

// Functions that have another name now are no longer found by their triggers.
void check_dependents(ObjectType kind) {
    if (kind != OBJECT_FUNCTION && kind != OBJECT_ROUTINE && kind != OBJECT_SCHEMA)
        return;
    check_found(
        "SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_trigger "
        "t ON t.oid OPERATOR(pg_catalog.=) d.objid JOIN pg_catalog.pg_proc p ON p.oid "
        "OPERATOR(pg_catalog.=) d.refobjid WHERE d.classid OPERATOR(pg_catalog.=) "
        "'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.refclassid "
        "OPERATOR(pg_catalog.=) $1 AND d.deptype OPERATOR(pg_catalog.=) 'n' AND t.tgfoid "
        "OPERATOR(pg_catalog.<>) p.oid",
        ProcedureRelationId, false);
}

bool has_command(const AlterTableStmt* statement, AlterTableType subtype) {
    ListCell* cell;
    foreach (cell, statement->cmds)
        if (((AlterTableCmd*)lfirst(cell))->subtype == subtype)
            return true;
    return false;
}

// No table is opened that the statement has not locked itself.
void check_altered(const AlterTableStmt* statement) {
    bool drops_column = has_command(statement, AT_DropColumn);
    bool changes_owner = has_command(statement, AT_ChangeOwner);
    if (!drops_column && !changes_owner)
        return;
    Oid table = RangeVarGetRelid(statement->relation, NoLock, true);
    if (!OidIsValid(table))
        return;
    if (drops_column)
        check_tables(table);
    if (changes_owner)
        check_table(table, true);
}

void check_after(Node* statement) {
    switch (nodeTag(statement)) {
        case T_CreateTrigStmt: {
            CreateTrigStmt* trigger = (CreateTrigStmt*)statement;
            Oid table = RangeVarGetRelid(trigger->relation, NoLock, true);
            if (!OidIsValid(table))
                return;
            check_table(table, true);
            depend_on_serializer(table, trigger->trigname);
            return;
        }
        case T_AlterTableStmt:
            check_altered((AlterTableStmt*)statement);
            return;
        case T_RenameStmt: {
            RenameStmt* rename = (RenameStmt*)statement;
            Oid table = rename->relation && rename->renameType == OBJECT_COLUMN
                            ? RangeVarGetRelid(rename->relation, NoLock, true)
                            : InvalidOid;
            if (OidIsValid(table))
                check_tables(table);
            check_dependents(rename->renameType);
            return;
        }
        case T_AlterObjectSchemaStmt: {
            AlterObjectSchemaStmt* alter = (AlterObjectSchemaStmt*)statement;
            check_dependents(alter->objectType);
            return;
        }
        case T_ReassignOwnedStmt:
            check_owned_tables(get_rolespec_oid(((ReassignOwnedStmt*)statement)->newrole, false));
            return;
        default:
            return;
    }
}

bool is_of_interest(Node* statement) {
    switch (nodeTag(statement)) {
        case T_CreateTrigStmt:
        case T_AlterTableStmt:
        case T_RenameStmt:
        case T_AlterObjectSchemaStmt:
        case T_ReassignOwnedStmt:
            return true;
        default:
            return false;
    }
}

void on_utility(PlannedStmt* statement, const char* query, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment* environment,
                DestReceiver* destination, QueryCompletion* completion) {
    ProcessUtility_hook_type run = previous_hook ? previous_hook : standard_ProcessUtility;
    run(statement, query, read_only_tree, context, params, environment, destination, completion);
    if (!is_of_interest(statement->utilityStmt) || !IsTransactionState() || !is_installed())
        return;
    CommandCounterIncrement();
    check_after(statement->utilityStmt);
}

}  // namespace

void install_trigger_check() {
    previous_hook = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
}

}  // namespace whisperer::pg
