// How many hooks a role may have, and how many requests it may make: whisperer.max_hooks_per_role
// and whisperer.max_requests_per_second as ALTER ROLE, ALTER DATABASE and the server's files say of
// it.
//
// A hook may be made in the session of another role, by SET ROLE or through the gateway, which has
// the settings of its own login.  So the catalog is asked what a session of the role would have.
// It is read as PostgreSQL does at a login, by what is committed now, whoever may read the catalog.
#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

struct Setting {
    const char* prefix;  // of a line "name=value"
    int least;
};
constexpr Setting max_hooks = {"whisperer.max_hooks_per_role=", -1};
constexpr Setting max_requests = {"whisperer.max_requests_per_second=", 0};

// What is no number is ignored at a login, too.
bool find_number(const Setting& setting, Datum lines, int* number) {
    Datum* line;
    bool* is_null;
    int count;
    deconstruct_array(DatumGetArrayTypeP(lines), TEXTOID, -1, false, TYPALIGN_INT, &line, &is_null,
                      &count);
    for (int i = 0; i < count; i++) {
        if (is_null[i])
            continue;
        const char* said = TextDatumGetCString(line[i]);
        if (pg_strncasecmp(said, setting.prefix, strlen(setting.prefix)) != 0)
            continue;
        int found;
        if (!parse_int(said + strlen(setting.prefix), &found, 0, nullptr) || found < setting.least)
            return false;
        *number = found;
        return true;
    }
    return false;
}

bool find_setting(const Setting& setting, Relation settings_of, Oid database, Oid role,
                  int* number) {
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(database));
    ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(role));
    SysScanDesc scan =
        systable_beginscan(settings_of, DbRoleSettingDatidRolidIndexId, true, nullptr, 2, keys);
    bool found = false;
    HeapTuple tuple = systable_getnext(scan);
    if (HeapTupleIsValid(tuple)) {
        bool is_null;
        Datum lines = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
                                   RelationGetDescr(settings_of), &is_null);
        found = !is_null && find_number(setting, lines, number);
    }
    systable_endscan(scan);
    return found;
}

// The number, and whether it was said for this role in this database: then it takes such a
// statement to change it.  most: where nothing else is said.
Datum limit_of(FunctionCallInfo fcinfo, const Setting& setting, int most) {
    Oid role = PG_GETARG_OID(0);
    Relation settings_of = table_open(DbRoleSettingRelationId, AccessShareLock);
    bool of_database = find_setting(setting, settings_of, MyDatabaseId, role, &most);
    if (!of_database && !find_setting(setting, settings_of, InvalidOid, role, &most) &&
        !find_setting(setting, settings_of, MyDatabaseId, InvalidOid, &most))
        find_setting(setting, settings_of, InvalidOid, InvalidOid, &most);
    table_close(settings_of, AccessShareLock);

    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "what a role is allowed is a row");
    Datum values[] = {Int32GetDatum(most), BoolGetDatum(of_database)};
    bool nulls[] = {false, false};
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_max_hooks_of);

PGDLLEXPORT Datum whisperer_max_hooks_of(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    return limit_of(fcinfo, max_hooks,
                    limits_of_all ? limits_of_all->max_hooks : settings.max_hooks_per_role);
}

PG_FUNCTION_INFO_V1(whisperer_max_requests_of);

PGDLLEXPORT Datum whisperer_max_requests_of(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    return limit_of(
        fcinfo, max_requests,
        limits_of_all ? limits_of_all->max_requests_per_second : settings.max_requests_per_second);
}
}
