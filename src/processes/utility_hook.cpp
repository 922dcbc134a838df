// Utility statements that need a hand.
//
// DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME and SET TABLESPACE refuse
// to run while anybody is connected, and our worker is.  So it is withdrawn for the length of the
// transaction and comes back after its end, also when the statement failed.
//
// DROP EXTENSION and ALTER EXTENSION ... UPDATE lock one table of ours after the other, and so does
// the worker, in another order: it is withdrawn for those too, or one of the two would fail in a
// deadlock.
//
// DROP EXTENSION takes its schema along.
//
// ALTER DATABASE ... SET whisperer.enabled withdraws it too, because a worker reads what its
// database has set when it starts: when the statement is done, nothing is sent any more.
//
// A table that becomes a partition, a child or part of a subscription has its capture triggers seen
// to, and a child those of its parents: as they were made they would miss what is written
// (src/install/api/415-see_to_captures.sql).
#include "src/processes/utility_hook.h"

#include "src/base/identity.h"
#include "src/base/steady_clock.h"
#include "src/base/transaction.h"
#include "src/pg.h"
#include "src/processes/shared_state.h"

namespace whisperer::pg {

namespace {

constexpr int64 wait_max_us = 5 * USECS_PER_SEC;

ProcessUtility_hook_type previous_hook = nullptr;

bool sets_enabled(const VariableSetStmt* set) {
    return set->kind == VAR_RESET_ALL ||
           (set->name && pg_strcasecmp(set->name, "whisperer.enabled") == 0);
}

// Whether it is of all roles, or of the one that workers are connected as; what others have set for
// themselves, which everybody may, no worker finds.
bool is_of_workers(const AlterRoleSetStmt* statement) {
    return statement->role == nullptr ||
           get_rolespec_oid(statement->role, true) == BOOTSTRAP_SUPERUSERID;
}

// Whether it may change what a worker finds when it starts.  *database: of which; InvalidOid: any.
bool changes_enabled(Node* statement, Oid* database) {
    const VariableSetStmt* set = nullptr;
    const char* name = nullptr;
    if (IsA(statement, AlterDatabaseSetStmt)) {
        set = ((AlterDatabaseSetStmt*)statement)->setstmt;
        name = ((AlterDatabaseSetStmt*)statement)->dbname;
    } else if (IsA(statement, AlterRoleSetStmt) && is_of_workers((AlterRoleSetStmt*)statement)) {
        set = ((AlterRoleSetStmt*)statement)->setstmt;
        name = ((AlterRoleSetStmt*)statement)->database;
    }
    *database = name ? get_database_oid(name, true) : InvalidOid;
    return set && sets_enabled(set) && (name == nullptr || OidIsValid(*database));
}

const char* named_database(Node* statement) {
    Oid ignored;
    switch (nodeTag(statement)) {
        case T_AlterDatabaseSetStmt:
            return changes_enabled(statement, &ignored) ? ((AlterDatabaseSetStmt*)statement)->dbname
                                                        : nullptr;
        case T_DropdbStmt:
            return ((DropdbStmt*)statement)->dbname;
        case T_RenameStmt: {
            RenameStmt* rename = (RenameStmt*)statement;
            return rename->renameType == OBJECT_DATABASE ? rename->subname : nullptr;
        }
        case T_AlterDatabaseStmt: {
            AlterDatabaseStmt* alter = (AlterDatabaseStmt*)statement;
            ListCell* cell;
            foreach (cell, alter->options)
                if (strcmp(((DefElem*)lfirst(cell))->defname, "tablespace") == 0)
                    return alter->dbname;
            return nullptr;
        }
        case T_CreatedbStmt: {
            ListCell* cell;
            foreach (cell, ((CreatedbStmt*)statement)->options)
                if (strcmp(((DefElem*)lfirst(cell))->defname, "template") == 0 &&
                    ((DefElem*)lfirst(cell))->arg)
                    return defGetString((DefElem*)lfirst(cell));
            return "template1";
        }
        default:
            return nullptr;
    }
}

bool is_about_extension(Node* statement) {
    if (IsA(statement, AlterExtensionStmt))
        return strcmp(((AlterExtensionStmt*)statement)->extname, "whisperer") == 0;
    if (!IsA(statement, DropStmt) || ((DropStmt*)statement)->removeType != OBJECT_EXTENSION)
        return false;
    ListCell* cell;
    foreach (cell, ((DropStmt*)statement)->objects)
        if (strcmp(strVal(lfirst(cell)), "whisperer") == 0)
            return true;
    return false;
}

bool may_run(Node* statement, Oid database) {
    if (pg_owns_database(database, GetUserId()))
        return true;
    if (!IsA(statement, CreatedbStmt))
        return false;
    HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
    bool is_template =
        HeapTupleIsValid(tuple) && ((Form_pg_database)GETSTRUCT(tuple))->datistemplate;
    if (HeapTupleIsValid(tuple))
        ReleaseSysCache(tuple);
    return is_template;
}

// The database that the worker must leave for this statement, if the statement is allowed at all:
// nobody's delivery is stopped by one that will be refused.
Oid database_to_be_left(Node* statement) {
    if (is_about_extension(statement)) {
        Oid extension = get_extension_oid("whisperer", true);
        return OidIsValid(extension) && pg_owns_extension(extension, GetUserId()) ? MyDatabaseId
                                                                                  : InvalidOid;
    }
    const char* name = named_database(statement);
    Oid database = name ? get_database_oid(name, true) : InvalidOid;
    return OidIsValid(database) && may_run(statement, database) ? database : InvalidOid;
}

bool has_worker(SharedState* shared, Oid database) {
    bool found = false;
    LWLockAcquire(shared->lock, LW_SHARED);
    for (int i = 0; i < shared->entry_count; i++)
        found |= shared->entries[i].database == database &&
                 (shared->entries[i].pid != 0 || shared->entries[i].state == WorkerState::Starting);
    LWLockRelease(shared->lock);
    return found;
}

// Of the running transaction, which needs only one: but for those about the extension, these
// statements refuse to run in a block.
Oid withdrawn = InvalidOid;

// Databases whose workers are to start anew at the commit of the running transaction.
constexpr int changed_max = 8;
Oid changed[changed_max];
int changed_count = 0;  // > changed_max, or one of them is InvalidOid: all

void restart_changed(SharedState* shared) {
    for (int i = 0; i < changed_count; i++) {
        Oid database = changed_count > changed_max ? InvalidOid : changed[i];
        LWLockAcquire(shared->lock, LW_EXCLUSIVE);
        for (int entry = 0; entry < shared->entry_count; entry++)
            if (shared->entries[entry].database == database || !OidIsValid(database)) {
                shared->entries[entry].stop_requested = true;
                wake_proc(&shared->entries[entry].proc);
            }
        LWLockRelease(shared->lock);
        announce_database(shared, database);
    }
}

// At the end of the transaction, however it ended, and not before: a worker that came back between
// the statement and its commit would be in the way of nothing, but find its database gone.  One
// that is prepared ends elsewhere; it keeps its locks, and the worker waits for those.  For a
// setting there are none, and nobody would tell the workers of it.
void let_return(XactEvent event, void*) {
    if (event == XACT_EVENT_PRE_PREPARE && changed_count > 0)
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("cannot PREPARE a transaction that may have changed whisperer.enabled"));
    if ((!OidIsValid(withdrawn) && changed_count == 0) ||
        (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
        return;
    SharedState* shared = shared_state();
    if (event == XACT_EVENT_COMMIT)
        restart_changed(shared);
    changed_count = 0;
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    for (int i = 0; i < shared->withdrawn_count; i++)
        if (shared->withdrawn[i] == withdrawn) {
            shared->withdrawn[i] = shared->withdrawn[--shared->withdrawn_count];
            break;
        }
    LWLockRelease(shared->lock);
    withdrawn = InvalidOid;
    wake_proc(&shared->launcher_proc);
}

void register_callback() {
    static bool is_registered = false;
    if (!is_registered)
        RegisterXactCallback(let_return, nullptr);
    is_registered = true;
}

void note_changed(Oid database) {
    register_callback();
    if (changed_count < changed_max)
        changed[changed_count] = database;
    changed_count = Min(changed_count + 1, changed_max + 1);
}

// False: too many are withdrawn already; the statement then runs as it would without us.
bool withdraw(SharedState* shared, Oid database) {
    register_callback();
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    bool fits = shared->withdrawn_count < withdrawals_max && !OidIsValid(withdrawn);
    if (fits) {
        withdrawn = shared->withdrawn[shared->withdrawn_count++] = database;
        for (int i = 0; i < shared->entry_count; i++)
            if (shared->entries[i].database == database) {
                shared->entries[i].stop_requested = true;
                wake_proc(&shared->entries[i].proc);
            }
    }
    LWLockRelease(shared->lock);
    return fits;
}

void wait_until_left(SharedState* shared, Oid database) {
    SteadyTime deadline = steady_now() + wait_max_us;
    while (has_worker(shared, database) && steady_now() < deadline) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
}

bool calls_capture(const CreateTrigStmt* trigger) {
    Oid function = LookupFuncName(trigger->funcname, 0, nullptr, true);
    return OidIsValid(function) && strcmp(get_func_name(function), "capture") == 0 &&
           get_func_namespace(function) == get_namespace_oid("whisperer", true);
}

// Of a schema that is older than the library there is none.
Oid see_to_captures() {
    const Oid types[] = {OIDOID, BOOLOID};
    return OidIsValid(get_extension_oid("whisperer", true))
               ? internal_function("see_to_captures", types, lengthof(types))
               : InvalidOid;
}

// InvalidOid: all tables of subscriptions.
void see_to(Oid table, bool told_only) {
    Oid function = see_to_captures();
    if (!OidIsValid(function))
        return;
    FmgrInfo info;
    fmgr_info(function, &info);
    LOCAL_FCINFO(call, 2);
    InitFunctionCallInfoData(*call, &info, 2, InvalidOid, nullptr, nullptr);
    call->args[0].value = ObjectIdGetDatum(table);
    call->args[0].isnull = !OidIsValid(table);
    call->args[1].value = BoolGetDatum(told_only);
    call->args[1].isnull = false;
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    (void)FunctionCallInvoke(call);
    PopActiveSnapshot();
}

void see_to_named(const RangeVar* name, bool told_only) {
    Oid table = RangeVarGetRelid(name, NoLock, true);
    if (OidIsValid(table))
        see_to(table, told_only);
}

// What a table's triggers must be may have changed.
void see_to_triggers(Node* statement) {
    if (IsA(statement, CreateSubscriptionStmt) || IsA(statement, AlterSubscriptionStmt))
        see_to(InvalidOid, false);
    if (IsA(statement, CreateTrigStmt) && calls_capture((CreateTrigStmt*)statement))
        see_to_named(((CreateTrigStmt*)statement)->relation, true);
    const CreateStmt* created = IsA(statement, CreateStmt) ? (CreateStmt*)statement
                                : IsA(statement, CreateForeignTableStmt)
                                    ? &((CreateForeignTableStmt*)statement)->base
                                    : nullptr;
    if (created && created->inhRelations != NIL && created->partbound == nullptr)
        see_to_named(created->relation, false);
    if (!IsA(statement, AlterTableStmt))
        return;
    AlterTableStmt* alter = (AlterTableStmt*)statement;
    ListCell* cell;
    foreach (cell, alter->cmds) {
        AlterTableCmd* command = (AlterTableCmd*)lfirst(cell);
        if (command->subtype == AT_AttachPartition)
            see_to_named(((PartitionCmd*)command->def)->name, false);
        else if (command->subtype == AT_AddInherit)
            see_to_named(alter->relation, false);
    }
}

// For others, or later: who sets it for himself sees what it does.
bool limits_temp_files(Node* statement) {
    const char* database =
        IsA(statement, AlterRoleSetStmt)       ? ((AlterRoleSetStmt*)statement)->database
        : IsA(statement, AlterDatabaseSetStmt) ? ((AlterDatabaseSetStmt*)statement)->dbname
                                               : nullptr;
    if (database && get_database_oid(database, true) != MyDatabaseId)
        return false;
    VariableSetStmt* set =
        IsA(statement, AlterRoleSetStmt)       ? ((AlterRoleSetStmt*)statement)->setstmt
        : IsA(statement, AlterDatabaseSetStmt) ? ((AlterDatabaseSetStmt*)statement)->setstmt
        : IsA(statement, AlterSystemStmt)      ? ((AlterSystemStmt*)statement)->setstmt
                                               : nullptr;
    if (set == nullptr || set->kind != VAR_SET_VALUE ||
        pg_strcasecmp(set->name, "temp_file_limit") != 0)
        return false;
    const char* value = ExtractSetVariableArgs(set);
    return value && strcmp(value, "-1") != 0;
}

void warn_of_temp_file_limit() {
    Oid function = OidIsValid(get_extension_oid("whisperer", true))
                       ? internal_function("warn_of_temp_file_limit", nullptr, 0)
                       : InvalidOid;
    if (!OidIsValid(function))
        return;
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    (void)OidFunctionCall0(function);
    PopActiveSnapshot();
}

bool drops_triggers(Node* statement) {
    return IsA(statement, DropStmt) && ((DropStmt*)statement)->behavior == DROP_CASCADE;
}

// Who writes to a captured table locks that first and then a table of ours.  DROP EXTENSION CASCADE
// comes to the triggers last: without this one of the two would fail in a deadlock.
void lock_captured_tables() {
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    if (run_query("SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger t "
                  "JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid "
                  "JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace "
                  "WHERE p.proname OPERATOR(pg_catalog.=) 'capture' "
                  "AND n.nspname OPERATOR(pg_catalog.=) 'whisperer' ORDER BY 1",
                  true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read pg_trigger");
    for (uint64 row = 0; row < SPI_processed; row++) {
        bool is_null;
        LockRelationOid(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[row],
                                                       SPI_tuptable->tupdesc, 1, &is_null)),
                        AccessExclusiveLock);
    }
    SPI_finish();
    PopActiveSnapshot();
}

// CREATE EXTENSION makes the schema, but it is no member of the extension, because the extension is
// in it.  Left behind it would be dumped, and its CREATE SCHEMA stop the restore into a database
// with the extension.  One that has something of somebody's, or is another's, stays.  Called after
// a statement before which there was the extension: a restore makes the schema first, and then
// drops an extension that is not there.
void drop_empty_schema() {
    Oid schema = get_namespace_oid("whisperer", true);
    if (!OidIsValid(schema) || OidIsValid(get_extension_oid("whisperer", true)))
        return;
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    Oid types[] = {OIDOID};
    Datum values[] = {ObjectIdGetDatum(schema)};
    if (run_query(
            "SELECT FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) $1 "
            "AND pg_catalog.pg_has_role(n.nspowner, 'USAGE') AND NOT EXISTS ("
            "SELECT FROM pg_catalog.pg_depend d WHERE d.refobjid OPERATOR(pg_catalog.=) $1 AND "
            "d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass)",
            1, types, values, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look into schema whisperer");
    if (SPI_processed == 1 &&
        run_query("DROP SCHEMA whisperer RESTRICT", false, 0) != SPI_OK_UTILITY)
        elog(ERROR, "could not drop schema whisperer");
    SPI_finish();
    PopActiveSnapshot();
}

void on_utility(PlannedStmt* statement, const char* query, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment* environment,
                DestReceiver* destination, QueryCompletion* completion) {
    Node* node = statement->utilityStmt;
    SharedState* shared = shared_state();
    Oid database = shared ? database_to_be_left(node) : InvalidOid;
    if (OidIsValid(database) && has_worker(shared, database) && withdraw(shared, database))
        wait_until_left(shared, database);
    if (OidIsValid(database) && drops_triggers(node))
        lock_captured_tables();
    bool may_drop_extension = IsA(node, DropStmt) && is_about_extension(node) &&
                              OidIsValid(get_extension_oid("whisperer", true));
    ProcessUtility_hook_type run = previous_hook ? previous_hook : standard_ProcessUtility;
    run(statement, query, read_only_tree, context, params, environment, destination, completion);
    see_to_triggers(node);
    if (limits_temp_files(node))
        warn_of_temp_file_limit();
    if (may_drop_extension)
        drop_empty_schema();
    if (shared && changes_enabled(node, &database))
        note_changed(database);
}

}  // namespace

void install_utility_hook() {
    previous_hook = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
}

}  // namespace whisperer::pg
