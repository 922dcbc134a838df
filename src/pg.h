// The only file of the project that includes PostgreSQL headers (tests/tidy checks), so that what
// differs between PostgreSQL 15 and 19 is settled here.
//
// postgres.h redefines snprintf and friends and has macros named ERROR, LOG, INFO: include std and
// third-party headers before this one.
#pragma once

extern "C" {
#include "postgres.h"
// clang-format off
#include "access/clog.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "commands/user.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "common/base64.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "common/jsonapi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "pgstat.h"
#include "pgtime.h"
#include "postmaster/bgworker.h"
#include "postmaster/bgworker_internals.h"
#include "postmaster/interrupt.h"
#include "replication/logicallauncher.h"
#include "replication/slot.h"
#include "replication/syncrep.h"
#include "replication/walreceiver.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "replication/worker_internal.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "storage/bufmgr.h"
#include "storage/dsm.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shm_mq.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/catcache.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/pidfile.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
#include "utils/varlena.h"
#include "utils/xid8.h"
// clang-format on
}

// What SIGNAL_ARGS declares, to be passed on: since 19 also who sent the signal.
#if PG_VERSION_NUM >= 190000
#define SIGNAL_VALUES postgres_signal_arg, pg_siginfo
#else
#define SIGNAL_VALUES postgres_signal_arg
#endif

// The arguments of a planner_hook, and the same to be passed on: since 19 also EXPLAIN's.
#if PG_VERSION_NUM >= 190000
#define PLANNER_ARGS \
    Query *query, const char *text, int options, ParamListInfo parameters, ExplainState *explain
#define PLANNER_VALUES query, text, options, parameters, explain
#else
#define PLANNER_ARGS Query *query, const char *text, int options, ParamListInfo parameters
#define PLANNER_VALUES query, text, options, parameters
#endif

namespace whisperer::pg {

// What a callback of CacheRegisterSyscacheCallback is told of the cache.
#if PG_VERSION_NUM >= 190000
using CacheId = SysCacheIdentifier;
#else
using CacheId = int;
#endif

// A setting of PostgreSQL, since 17.
inline constexpr bool pg_has_transaction_timeout = PG_VERSION_NUM >= 170000;

// Due before use when the last entry of a row type has been made by hand.
inline void pg_finalize(TupleDesc desc) {
#if PG_VERSION_NUM >= 190000
    TupleDescFinalize(desc);
#else
    (void)desc;
#endif
}

// The source is bytes since 18, was char before.
inline int pg_base64(const char* source, int bytes, char* destination, int capacity) {
#if PG_VERSION_NUM >= 180000
    return pg_b64_encode((const uint8*)source, bytes, destination, capacity);
#else
    return pg_b64_encode(source, bytes, destination, capacity);
#endif
}

// ExecCloseIndices that keeps the locks until the transaction ends: taking them again is then
// cheap.
inline void pg_close_indices(ResultRelInfo* relation) {
    for (int i = 0; i < relation->ri_NumIndices; i++) {
#if PG_VERSION_NUM >= 170000
        index_insert_cleanup(relation->ri_IndexRelationDescs[i], relation->ri_IndexRelationInfo[i]);
#endif
        index_close(relation->ri_IndexRelationDescs[i], NoLock);
    }
}

// The parts of a name as SQL writes it.
inline List* pg_qualified_names(const char* name) {
#if PG_VERSION_NUM >= 160000
    return stringToQualifiedNameList(name, nullptr);
#else
    return stringToQualifiedNameList(name);
#endif
}

// Since 19.
inline bool pg_is_database_name(Oid type) {
#ifdef REGDATABASEOID
    return type == REGDATABASEOID;
#else
    (void)type;
    return false;
#endif
}

inline TableScanDesc pg_begin_scan(Relation table, Snapshot snapshot) {
#if PG_VERSION_NUM >= 190000
    return table_beginscan(table, snapshot, 0, nullptr, SO_NONE);
#else
    return table_beginscan(table, snapshot, 0, nullptr);
#endif
}

inline void pg_insert_index_tuples(ResultRelInfo* relation, TupleTableSlot* row, EState* estate) {
#if PG_VERSION_NUM >= 190000
    list_free(ExecInsertIndexTuples(relation, estate, 0, row, NIL, nullptr));
#elif PG_VERSION_NUM >= 160000
    list_free(ExecInsertIndexTuples(relation, row, estate, false, false, nullptr, NIL, false));
#else
    list_free(ExecInsertIndexTuples(relation, row, estate, false, false, nullptr, NIL));
#endif
}

// Empties tables that the caller has locked, and tells nobody who replicates them.
inline void pg_truncate_quietly(List* relations, List* oids) {
#if PG_VERSION_NUM >= 160000
    ExecuteTruncateGuts(relations, oids, NIL, DROP_RESTRICT, false, false);
#else
    ExecuteTruncateGuts(relations, oids, NIL, DROP_RESTRICT, false);
#endif
}

#if PG_VERSION_NUM >= 160000
inline AclResult pg_function_execute_check(Oid function, Oid role) {
    return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE);
}
inline AclResult pg_schema_usage_check(Oid schema, Oid role) {
    return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE);
}
inline bool pg_owns_database(Oid database, Oid role) {
    return object_ownercheck(DatabaseRelationId, database, role);
}
inline bool pg_owns_extension(Oid extension, Oid role) {
    return object_ownercheck(ExtensionRelationId, extension, role);
}
#else
inline AclResult pg_function_execute_check(Oid function, Oid role) {
    return pg_proc_aclcheck(function, role, ACL_EXECUTE);
}
inline AclResult pg_schema_usage_check(Oid schema, Oid role) {
    return pg_namespace_aclcheck(schema, role, ACL_USAGE);
}
inline bool pg_owns_database(Oid database, Oid role) {
    return pg_database_ownercheck(database, role);
}
inline bool pg_owns_extension(Oid extension, Oid role) {
    return pg_extension_ownercheck(extension, role);
}
#endif

#if PG_VERSION_NUM >= 170000
inline int pg_proc_number(PGPROC* proc) {
    return GetNumberFromPGProc(proc);
}
inline WaitEventSet* pg_create_wait_event_set(int events) {
    return CreateWaitEventSet(nullptr, events);
}
inline TransactionId pg_oldest_clog_xid() {
    return TransamVariables->oldestClogXid;
}
inline uint64 pg_transactions_completed() {
    return TransamVariables->xactCompletionCount;
}
#else
inline int pg_proc_number(PGPROC* proc) {
    return proc->pgprocno;
}
inline WaitEventSet* pg_create_wait_event_set(int events) {
    return CreateWaitEventSet(TopMemoryContext, events);
}
inline TransactionId pg_oldest_clog_xid() {
    return ShmemVariableCache->oldestClogXid;
}
inline uint64 pg_transactions_completed() {
    return ShmemVariableCache->xactCompletionCount;
}
#endif

// Whether the postmaster has taken a background worker of this name.  The macros that walk a list
// do not compile as C++.
inline bool pg_is_registered(const char* name) {
#if PG_VERSION_NUM >= 180000
    const dlist_node *first = BackgroundWorkerList.head.next, *end = &BackgroundWorkerList.head;
#else
    const slist_node *first = BackgroundWorkerList.head.next, *end = nullptr;
#endif
    for (auto* node = first; node != end; node = node->next) {
        auto* worker =
            (const RegisteredBgWorker*)((const char*)node - offsetof(RegisteredBgWorker, rw_lnode));
        if (strcmp(worker->rw_worker.bgw_name, name) == 0)
            return true;
    }
    return false;
}

// Somebody reads from the slot.  Under its mutex.
inline bool pg_is_active(const ReplicationSlot* slot) {
#if PG_VERSION_NUM >= 190000
    return slot->active_proc != INVALID_PROC_NUMBER;
#else
    return slot->active_pid != 0;
#endif
}

// A connection of PostgreSQL's own logical replication, which takes SQL, too.  Null: *problem says
// why.  needs_password: the owner of the subscription must not use the server's own rights.
inline WalReceiverConn* pg_connect_for_sql(const char* connection, bool needs_password,
                                           const char* name, char** problem) {
#if PG_VERSION_NUM >= 170000
    return walrcv_connect(connection, true, true, needs_password, name, problem);
#elif PG_VERSION_NUM >= 160000
    return walrcv_connect(connection, true, needs_password, name, problem);
#else
    (void)needs_password;
    return walrcv_connect(connection, true, name, problem);
#endif
}

// A number that no other transaction of this session has; 0: none is open.
inline LocalTransactionId pg_local_transaction() {
    if (MyProc == nullptr)
        return InvalidLocalTransactionId;
#if PG_VERSION_NUM >= 170000
    return MyProc->vxid.lxid;
#else
    return MyProc->lxid;
#endif
}

// What a check hook hands to its assign hook.  Null: no memory.
inline void* pg_guc_alloc(size_t bytes) {
#if PG_VERSION_NUM >= 160000
    return guc_malloc(LOG, bytes);
#else
    return malloc(bytes);
#endif
}

// Of the server's encoding.  The lexer's own memory is the current context's.  Since which version
// nullSemAction and the parser's parameter are const differs.
inline bool pg_parses_as_json(const char* text, int bytes, const JsonSemAction* const_actions) {
    JsonSemAction* actions = const_cast<JsonSemAction*>(const_actions);
#if PG_VERSION_NUM >= 170000
    JsonLexContext* lex =
        makeJsonLexContextCstringLen(nullptr, text, bytes, GetDatabaseEncoding(), false);
    bool parses = pg_parse_json(lex, actions) == JSON_SUCCESS;
    freeJsonLexContext(lex);
    return parses;
#else
    JsonLexContext* lex =
        makeJsonLexContextCstringLen(const_cast<char*>(text), bytes, GetDatabaseEncoding(), false);
    return pg_parse_json(lex, actions) == JSON_SUCCESS;
#endif
}

// One member of an object, for whoever counts them.
#if PG_VERSION_NUM >= 160000
inline JsonParseErrorType pg_count_member(void* count, char*, bool) {
    ++*(int64*)count;
    return JSON_SUCCESS;
}
#else
inline void pg_count_member(void* count, char*, bool) {
    ++*(int64*)count;
}
#endif

#if PG_VERSION_NUM >= 180000
inline bool pg_has_virtual_columns(TupleDesc desc) {
    return desc->constr && desc->constr->has_generated_virtual;
}
// What the column of this index is computed from; null: it is none of these.
inline Expr* pg_virtual_column(Relation relation, int index) {
    if (TupleDescAttr(RelationGetDescr(relation), index)->attgenerated !=
        ATTRIBUTE_GENERATED_VIRTUAL)
        return nullptr;
    return (Expr*)build_generation_expression(relation, index + 1);
}
// An expression over rows of the relation, each such column replaced by what it is computed from.
inline Node* pg_expand_virtual_columns(Node* expression, Relation relation, int range_table_index) {
    return expand_generated_columns_in_expr(expression, relation, range_table_index);
}
inline bool pg_is_virtual(TupleDesc desc, int index) {
    return TupleDescAttr(desc, index)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL;
}
#else
inline bool pg_is_virtual(TupleDesc, int) {
    return false;
}
inline bool pg_has_virtual_columns(TupleDesc) {
    return false;
}
inline Expr* pg_virtual_column(Relation, int) {
    return nullptr;
}
inline Node* pg_expand_virtual_columns(Node* expression, Relation, int) {
    return expression;
}
#endif

}  // namespace whisperer::pg
