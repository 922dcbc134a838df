// SQL functions that need more rights than their caller has, and must know who that is.
//
// Inside a SECURITY DEFINER function the caller cannot be known: current_user is the definer, and
// session_user is wrong after SET ROLE or when an application's own SECURITY DEFINER function
// calls. So the public function is this one; it reads the current user, becomes its own owner, and
// calls <name>_as(caller, ...), which PUBLIC may not call.
#include "src/base/owner_context.h"
#include "src/pg.h"

namespace whisperer::pg {

namespace {

struct OwnerCall {
    Oid owner;
    FmgrInfo internal;
};

// Looks the internal function up once per call site.
OwnerCall* prepare_owner_call(FmgrInfo* called) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(called->fn_oid));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", called->fn_oid);
    Form_pg_proc form = (Form_pg_proc)GETSTRUCT(tuple);
    Oid types[FUNC_MAX_ARGS];
    types[0] = OIDOID;
    memcpy(types + 1, form->proargtypes.values, sizeof(Oid) * form->pronargs);
    char* name = psprintf("%s_as", NameStr(form->proname));
    List* path = list_make2(makeString(get_namespace_name(form->pronamespace)), makeString(name));
    Oid internal = LookupFuncName(path, form->pronargs + 1, types, false);

    OwnerCall* call = (OwnerCall*)MemoryContextAllocZero(called->fn_mcxt, sizeof(OwnerCall));
    call->owner = form->proowner;
    fmgr_info_cxt(internal, &call->internal, called->fn_mcxt);
    ReleaseSysCache(tuple);
    return call;
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_as_owner);

PGDLLEXPORT Datum whisperer_as_owner(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    if (fcinfo->flinfo->fn_extra == nullptr)
        fcinfo->flinfo->fn_extra = prepare_owner_call(fcinfo->flinfo);
    OwnerCall* call = (OwnerCall*)fcinfo->flinfo->fn_extra;

    LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
    // With the caller's result info a set is returned, too, if the function makes all of it at
    // once.
    InitFunctionCallInfoData(*inner, &call->internal, PG_NARGS() + 1, PG_GET_COLLATION(), nullptr,
                             fcinfo->resultinfo);
    inner->args[0] = {ObjectIdGetDatum(GetUserId()), false};
    for (int i = 0; i < PG_NARGS(); i++)
        inner->args[i + 1] = fcinfo->args[i];

    UserContext saved = enter_owner(call->owner);
    Datum result = FunctionCallInvoke(inner);
    leave_owner(saved);
    fcinfo->isnull = inner->isnull;
    return result;
}
}
