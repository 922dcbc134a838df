// What people call is C.  What it does is written in SQL, as a function of schema
// whisperer_internal: its body.
//
// whisperer_as_owner runs <name>_as(caller, ...), as the extension's owner.  Inside a SECURITY
// DEFINER function the caller cannot be known: current_user is the definer, and session_user is
// wrong after SET ROLE or when an application's own SECURITY DEFINER function calls.  So this reads
// the current user first.
//
// whisperer_as_caller runs <name>_body(...), with its caller's rights; triggers and procedures too.
//
// whisperer_as_caller_now does so and lets a STABLE body see all that is committed by now, also in
// a transaction whose own snapshot is older.
//
// An error that a body raises has no CONTEXT of ours: its reader knows the function that was
// called, and not the statements in it.
#include "src/base/boundary.h"
#include "src/base/identity.h"
#include "src/base/owner_context.h"
#include "src/pg.h"

namespace whisperer::pg {

namespace {

struct Body {
    Oid owner;
    FmgrInfo function;
};

// Once per call site.
const Body* body_of(FmgrInfo* called, const char* suffix, bool takes_caller) {
    if (called->fn_extra != nullptr)
        return (const Body*)called->fn_extra;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(called->fn_oid));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", called->fn_oid);
    Form_pg_proc form = (Form_pg_proc)GETSTRUCT(tuple);
    Oid types[FUNC_MAX_ARGS] = {OIDOID};
    memcpy(types + takes_caller, form->proargtypes.values, sizeof(Oid) * form->pronargs);
    const char* name = psprintf("%s%s", NameStr(form->proname), suffix);
    Oid function = internal_function(name, types, form->pronargs + takes_caller);
    if (!OidIsValid(function))
        elog(ERROR, "function %s of schema whisperer_internal is missing", name);

    Body* body = (Body*)MemoryContextAllocZero(called->fn_mcxt, sizeof(Body));
    body->owner = form->proowner;
    fmgr_info_cxt(function, &body->function, called->fn_mcxt);
    ReleaseSysCache(tuple);
    called->fn_extra = body;
    return body;
}

struct Invocation {
    FunctionCallInfo call;
    Datum result;
};

void invoke(void* argument) {
    Invocation* invocation = (Invocation*)argument;
    invocation->result = FunctionCallInvoke(invocation->call);
}

Datum invoke_quietly(FunctionCallInfo call) {
    Invocation invocation = {call, 0};
    call_without_context(invoke, &invocation, "whisperer");
    return invocation.result;
}

Datum invoke_as_caller(FunctionCallInfo fcinfo) {
    const Body* body = body_of(fcinfo->flinfo, "_body", false);
    LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
    // The context says which trigger is fired, and whether a procedure may commit.
    InitFunctionCallInfoData(*inner, const_cast<FmgrInfo*>(&body->function), PG_NARGS(),
                             PG_GET_COLLATION(), fcinfo->context, fcinfo->resultinfo);
    for (int i = 0; i < PG_NARGS(); i++)
        inner->args[i] = fcinfo->args[i];
    Datum result = invoke_quietly(inner);
    fcinfo->isnull = inner->isnull;
    return result;
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_as_owner);
PG_FUNCTION_INFO_V1(whisperer_as_caller);
PG_FUNCTION_INFO_V1(whisperer_as_caller_now);

PGDLLEXPORT Datum whisperer_as_owner(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    const Body* body = body_of(fcinfo->flinfo, "_as", true);
    if (get_func_namespace(fcinfo->flinfo->fn_oid) != get_namespace_oid("whisperer", false))
        require_usage();

    LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
    // With the caller's result info a set is returned, too, if the function makes all of it at
    // once.
    InitFunctionCallInfoData(*inner, const_cast<FmgrInfo*>(&body->function), PG_NARGS() + 1,
                             PG_GET_COLLATION(), nullptr, fcinfo->resultinfo);
    inner->args[0] = {ObjectIdGetDatum(GetUserId()), false};
    for (int i = 0; i < PG_NARGS(); i++)
        inner->args[i + 1] = fcinfo->args[i];

    UserContext saved = enter_owner(body->owner);
    Datum result = invoke_quietly(inner);
    leave_owner(saved);
    fcinfo->isnull = inner->isnull;
    return result;
}

PGDLLEXPORT Datum whisperer_as_caller(PG_FUNCTION_ARGS) {
    return whisperer::pg::invoke_as_caller(fcinfo);
}

PGDLLEXPORT Datum whisperer_as_caller_now(PG_FUNCTION_ARGS) {
    PushActiveSnapshot(GetLatestSnapshot());
    Datum result = whisperer::pg::invoke_as_caller(fcinfo);
    PopActiveSnapshot();
    return result;
}
}
