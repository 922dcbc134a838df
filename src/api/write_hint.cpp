// Hints for who writes to a table or view of ours and may not.
//
// PostgreSQL's own error says that permission is denied, and knows nothing of the function that
// does what was wanted.  So a statement that writes is looked at once it has been analysed: if it
// writes to a relation of schema whisperer and would be refused, it is refused here, with the same
// words and a hint.  What PostgreSQL would let through is let through; it has the last word in any
// case.  A statement that does not write costs nothing, one that writes elsewhere a look at a
// cache.
#include "src/api/write_hint.h"

#include "src/pg.h"

namespace whisperer::pg {

namespace {

post_parse_analyze_hook_type previous_hook = nullptr;

struct Hint {
    const char* relation;  // with its partitions: NAME_0 ...
    const char* hint;
};

constexpr Hint hints[] = {
    {"hook", "SELECT whisperer.delete_hook(id) deletes a hook."},
    {"hook_definition",
     "Write to the view whisperer.hook, or call whisperer.create_hook, update_hook, pause_hook, "
     "resume_hook or delete_hook."},
    {"event_type",
     "Call whisperer.register_event, update_event, unregister_event or reassign_owned."},
    {"event_type_privilege", "Call whisperer.allow or disallow."},
    {"event_type_claim",
     "It follows from whisperer.register_event and reassign_owned, and outlasts unregister_event "
     "while there are events of the type."},
    {"outbox", "SELECT whisperer.deliver_event(event_type, data) records an event."},
    {"event_queue", "SELECT whisperer.deliver_event(event_type, data) records an event."},
    {"event_key", "It follows from whisperer.deliver_event with an idempotency_key."},
    {"key_decision", "The worker decides which of the events with one idempotency_key is sent."},
    {"delivery", "Call whisperer.retry, recover, replay or cancel."},
    {"attempt", "Call whisperer.retry, recover, replay or cancel."},
    {"request", "Call whisperer.retry, recover, replay or cancel."},
    {"secret", "Call whisperer.rotate_secret, or whisperer.update_hook with secret_key."},
    {"hook_run", "SELECT whisperer.resume_hook(id) makes a disabled hook active again."},
    {"hook_stats", "SELECT whisperer.resume_hook(id) makes a disabled hook active again."},
    {"hook_minute", "The worker counts in it what whisperer.hook_stats shows."},
    {"bookmark",
     "The worker notes in it how far it has read; whisperer.replay sends older events."},
    {"past_attempt", "Call whisperer.retry, recover, replay or cancel."},
    {"node", "Call whisperer.add_node or remove_node."},
    {"nodes", "Call whisperer.add_node or remove_node."},
    {"hook_node", "Call whisperer.add_node or remove_node."},
    {"node_message", "It is what the functions of a primary tell its delivery nodes."},
    {"incarnation",
     "The number is made with the extension; whisperer.resume adopts what has another."},
    {"status", "It shows what the workers do; whisperer.pause and resume stop and start delivery."},
    {"delivery_rate", "It follows from the ledger; update_hook with rate_limit bounds a hook."},
    {"control", "Call whisperer.pause or resume."},
    {"api_token", "Call whisperer.create_api_token or revoke_api_token."},
    {"api_token_record", "Call whisperer.create_api_token or revoke_api_token."},
};

// Columns of the view hook.  Those that follow from others nobody can write; the others who may
// write them in the table below.
struct Column {
    const char* name;
    bool is_derived;
    const char* hint;
};

constexpr Column hook_columns[] = {
    {"state", true, "Call whisperer.pause_hook, resume_hook or delete_hook."},
    {"state_reason", true, "Call whisperer.pause_hook, resume_hook or delete_hook."},
    {"owner", true,
     "A hook belongs to the role that makes it; whisperer.reassign_owned gives all of a role's to "
     "another."},
    {"id", false, "A hook gets its id when it is made."},
    {"since", false, "It is set when the hook is made; whisperer.replay sends older events."},
    {"incarnation", false, "SELECT whisperer.resume() adopts hooks that were carried here."},
    {"created_at", false, "It is set when the hook is made."},
    {"modified_at", false, "It is set when the hook is changed."},
};

const char* hint_for(const char* relation) {
    for (const Hint& entry : hints) {
        size_t bytes = strlen(entry.relation);
        if (strncmp(relation, entry.relation, bytes) == 0 &&
            (relation[bytes] == '\0' ||
             (relation[bytes] == '_' && isdigit((unsigned char)relation[bytes + 1]))))
            return entry.hint;
    }
    return nullptr;
}

AclMode wanted(CmdType command) {
    return command == CMD_INSERT ? ACL_INSERT : command == CMD_DELETE ? ACL_DELETE : ACL_UPDATE;
}

bool may_write(Oid relation, AttrNumber column, AclMode mode) {
    return pg_class_aclcheck(relation, GetUserId(), mode) == ACLCHECK_OK ||
           (column != InvalidAttrNumber &&
            pg_attribute_aclcheck(relation, column, GetUserId(), mode) == ACLCHECK_OK);
}

// The error is PostgreSQL's, of its rewriter.
void refuse_derived(const Column& column, CmdType command) {
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            command == CMD_INSERT
                ? errmsg("cannot insert into column \"%s\" of view \"hook\"", column.name)
                : errmsg("cannot update column \"%s\" of view \"hook\"", column.name),
            errhint("%s", column.hint));
}

void refuse(Oid relation, const char* name, const char* hint) {
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            get_rel_relkind(relation) == RELKIND_VIEW
                ? errmsg("permission denied for view %s", name)
                : errmsg("permission denied for table %s", name),
            errhint("%s", hint));
}

void check_hook_column(Oid schema, const char* name, CmdType command) {
    for (const Column& column : hook_columns) {
        if (strcmp(column.name, name) != 0)
            continue;
        if (column.is_derived)
            refuse_derived(column, command);
        Oid table = get_relname_relid("hook_definition", schema);
        if (OidIsValid(table) && !may_write(table, get_attnum(table, name), wanted(command)))
            refuse(table, "hook_definition", column.hint);
    }
}

// targets: what an INSERT or an UPDATE gives values to.
void check_write(Oid relation, CmdType command, const List* targets) {
    Oid schema = get_rel_namespace(relation);
    if (!OidIsValid(schema) || schema != get_namespace_oid("whisperer", true))
        return;
    const char* name = get_rel_name(relation);
    const char* hint = hint_for(name);
    AclMode mode = wanted(command);
    // A DELETE, or an INSERT of DEFAULT VALUES, which a right to any column allows.
    if (targets == NIL || command == CMD_DELETE) {
        if (hint && !may_write(relation, InvalidAttrNumber, mode) &&
            pg_attribute_aclcheck_all(relation, GetUserId(), mode, ACLMASK_ANY) != ACLCHECK_OK)
            refuse(relation, name, hint);
        return;
    }
    bool is_hook = strcmp(name, "hook") == 0;
    bool is_denied = pg_class_aclcheck(relation, GetUserId(), mode) != ACLCHECK_OK;
    ListCell* cell;
    foreach (cell, targets) {
        const TargetEntry* entry = (TargetEntry*)lfirst(cell);
        if (entry->resjunk || entry->resname == nullptr)
            continue;
        if (is_denied && hint && !may_write(relation, entry->resno, mode))
            refuse(relation, name, hint);
        if (is_hook)
            check_hook_column(schema, entry->resname, command);
    }
}

bool is_write(CmdType command) {
    return command == CMD_INSERT || command == CMD_UPDATE || command == CMD_DELETE;
}

// One statement may write more than once: what it does on a conflict, each WHEN of a MERGE, and
// what stands in its WITH.
void check(const Query* query) {
    ListCell* cell;
    if (query->hasModifyingCTE)
        foreach (cell, query->cteList)
            check((const Query*)((CommonTableExpr*)lfirst(cell))->ctequery);
    if (query->resultRelation == 0)
        return;
    Oid relation = rt_fetch(query->resultRelation, query->rtable)->relid;
    if (is_write(query->commandType))
        check_write(relation, query->commandType, query->targetList);
    if (query->onConflict && query->onConflict->action == ONCONFLICT_UPDATE)
        check_write(relation, CMD_UPDATE, query->onConflict->onConflictSet);
    foreach (cell, query->mergeActionList) {
        const MergeAction* action = (MergeAction*)lfirst(cell);
        if (is_write(action->commandType))
            check_write(relation, action->commandType, action->targetList);
    }
}

// The last parameter's type differs between versions of PostgreSQL.
template <typename Jumble>
void on_analyzed(ParseState* state, Query* query, Jumble* jumble) {
    if (previous_hook)
        previous_hook(state, query, jumble);
    if (query->resultRelation > 0 || query->hasModifyingCTE)
        check(query);
}

}  // namespace

void install_write_hint() {
    previous_hook = post_parse_analyze_hook;
    post_parse_analyze_hook = on_analyzed;
}

}  // namespace whisperer::pg
