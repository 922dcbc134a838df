// What row-level security asks for each row: whether a role may have events of a type, and whether
// a hook is one's own.  A page of a list asks the same of fifty rows, a count of a million.  The
// answer is looked for once in a statement (whisperer_internal.*_body) and remembered.
//
// It is remembered in the memory of the statement that asks, by all places in it together (each
// partition has its own copy of a policy), and the statement's end forgets it.  An expression of
// PL/pgSQL may be kept for longer: so what was found is forgotten, too, when this transaction has
// written anything, or when a role, a membership, an event type or a privilege was changed by
// anybody.
#include "src/base/identity.h"
#include "src/base/owner_context.h"
#include "src/pg.h"

namespace whisperer::pg {

namespace {

// What an answer depends on beside what was asked.
struct Moment {
    uint64 changes;
    CommandId command;
    Oid user;
};

Moment this_moment() {
    AcceptInvalidationMessages();
    return {change_number(), GetCurrentCommandId(false), GetUserId()};
}

bool is_same(const Moment& one, const Moment& other) {
    return one.changes == other.changes && one.command == other.command && one.user == other.user;
}

constexpr int rights_max = 32;
constexpr long hooks_max = 100000;

struct Right {
    Oid role;
    text* event_type;
    text* privilege;
    bool is_there;
};

struct Hook {
    int64 id;  // the key
    bool is_seen;
};

// Of a statement and a function.  Of rights the oldest makes way; beyond hooks_max all are
// forgotten.
struct Memory {
    MemoryContext context;  // the statement's
    FmgrInfo body;
    Oid function;
    Oid owner;
    Moment as_of;
    Right rights[rights_max];
    int right_count;
    int next_right;
    HTAB* hooks;
    MemoryContextCallback end;
};

Oid owner_of(Oid function) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", function);
    Oid owner = ((Form_pg_proc)GETSTRUCT(tuple))->proowner;
    ReleaseSysCache(tuple);
    return owner;
}

HTAB* new_hooks(MemoryContext context) {
    HASHCTL control = {};
    control.keysize = sizeof(int64);
    control.entrysize = sizeof(Hook);
    control.hcxt = context;
    return hash_create("whisperer: hooks seen", 64, &control,
                       HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

enum Question { MayHave, SeesHook, question_count };

// Of whichever statement asked last: a place in it that asks for the first time finds it here.
Memory* last_memory[question_count];

void on_end_of_statement(void* memory) {
    for (Memory*& last : last_memory)
        if (last == memory)
            last = nullptr;
}

Memory* new_memory(const FmgrInfo* place, const char* name, const Oid* types, int count) {
    Oid function = internal_function(name, types, count);
    if (!OidIsValid(function))
        elog(ERROR, "function %s of schema whisperer_internal is missing", name);
    Memory* memory = (Memory*)MemoryContextAllocZero(place->fn_mcxt, sizeof(Memory));
    memory->context = place->fn_mcxt;
    memory->function = place->fn_oid;
    memory->owner = owner_of(place->fn_oid);
    fmgr_info_cxt(function, &memory->body, place->fn_mcxt);
    memory->hooks = new_hooks(place->fn_mcxt);
    memory->as_of = this_moment();
    memory->end = {on_end_of_statement, memory, nullptr};
    MemoryContextRegisterResetCallback(place->fn_mcxt, &memory->end);
    return memory;
}

void forget(Memory* memory) {
    for (int i = 0; i < memory->right_count; i++) {
        pfree(memory->rights[i].event_type);
        pfree(memory->rights[i].privilege);
    }
    memory->right_count = memory->next_right = 0;
    hash_destroy(memory->hooks);
    memory->hooks = new_hooks(memory->context);
}

Memory* memory_of(FmgrInfo* place, Question question, const char* body, const Oid* types,
                  int count) {
    Memory*& last = last_memory[question];
    if (place->fn_extra == nullptr) {
        if (last == nullptr || last->context != place->fn_mcxt || last->function != place->fn_oid)
            last = new_memory(place, body, types, count);
        place->fn_extra = last;
    }
    Memory* memory = (Memory*)place->fn_extra;
    Moment moment = this_moment();
    if (!is_same(memory->as_of, moment)) {
        forget(memory);
        memory->as_of = moment;
    }
    return memory;
}

bool is_same(const text* one, const text* other) {
    return VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(other) &&
           memcmp(VARDATA_ANY(one), VARDATA_ANY(other), VARSIZE_ANY_EXHDR(one)) == 0;
}

const Right* find_right(const Memory* memory, const Right& asked) {
    for (int i = 0; i < memory->right_count; i++) {
        const Right* right = &memory->rights[i];
        if (right->role == asked.role && is_same(right->event_type, asked.event_type) &&
            is_same(right->privilege, asked.privilege))
            return right;
    }
    return nullptr;
}

text* kept(const text* value, MemoryContext context) {
    Size size = VARSIZE_ANY(value);
    text* copy = (text*)MemoryContextAlloc(context, size);
    memcpy(copy, value, size);
    return copy;
}

void keep_right(Memory* memory, const Right& found) {
    Right right = {found.role, kept(found.event_type, memory->context),
                   kept(found.privilege, memory->context), found.is_there};
    Right* into = &memory->rights[memory->next_right];
    if (memory->right_count == rights_max) {
        pfree(into->event_type);
        pfree(into->privilege);
    } else {
        memory->right_count++;
    }
    *into = right;
    memory->next_right = (memory->next_right + 1) % rights_max;
}

// With the rights of the extension's owner: roles that may read none of the tables ask, too.
bool look_for_right(Memory* memory, FunctionCallInfo fcinfo) {
    LOCAL_FCINFO(inner, 3);
    InitFunctionCallInfoData(*inner, &memory->body, 3, PG_GET_COLLATION(), nullptr, nullptr);
    for (int i = 0; i < 3; i++)
        inner->args[i] = fcinfo->args[i];
    UserContext saved = enter_owner(memory->owner);
    Datum result = FunctionCallInvoke(inner);
    leave_owner(saved);
    return !inner->isnull && DatumGetBool(result);
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_may);
PG_FUNCTION_INFO_V1(whisperer_sees_hook);

PGDLLEXPORT Datum whisperer_may(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    const Oid types[] = {OIDOID, TEXTOID, TEXTOID};
    Memory* memory = memory_of(fcinfo->flinfo, MayHave, "may_body", types, lengthof(types));
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
        PG_RETURN_BOOL(look_for_right(memory, fcinfo));
    Right asked = {PG_GETARG_OID(0), PG_GETARG_TEXT_PP(1), PG_GETARG_TEXT_PP(2), false};
    if (const Right* known = find_right(memory, asked))
        PG_RETURN_BOOL(known->is_there);
    asked.is_there = look_for_right(memory, fcinfo);
    keep_right(memory, asked);
    PG_RETURN_BOOL(asked.is_there);
}

// With the rights of the caller: the policy of hook_definition answers.
PGDLLEXPORT Datum whisperer_sees_hook(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    const Oid types[] = {INT8OID};
    Memory* memory = memory_of(fcinfo->flinfo, SeesHook, "sees_hook_body", types, lengthof(types));
    int64 id = PG_GETARG_INT64(0);
    if (const Hook* known = (Hook*)hash_search(memory->hooks, &id, HASH_FIND, nullptr))
        PG_RETURN_BOOL(known->is_seen);
    bool is_seen = DatumGetBool(FunctionCall1(&memory->body, Int64GetDatum(id)));
    if (hash_get_num_entries(memory->hooks) >= hooks_max)
        forget(memory);
    ((Hook*)hash_search(memory->hooks, &id, HASH_ENTER, nullptr))->is_seen = is_seen;
    PG_RETURN_BOOL(is_seen);
}
}
