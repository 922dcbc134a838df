// How many hooks a role may have: whisperer.max_hooks_per_role as ALTER ROLE, ALTER DATABASE and
// the server's files say of it.
//
// A hook may be made in the session of another role, by SET ROLE or through the gateway, which has
// the settings of its own login.  So the catalog is asked what a session of the owner would have.
// It is read as PostgreSQL does at a login, by what is committed now, whoever may read the catalog.
#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr const char* setting = "whisperer.max_hooks_per_role=";

// Of a list "name=value".  What is no number is ignored at a login, too.
bool find_number(Datum lines, int* number) {
    Datum* line;
    bool* is_null;
    int count;
    deconstruct_array(DatumGetArrayTypeP(lines), TEXTOID, -1, false, TYPALIGN_INT, &line, &is_null,
                      &count);
    for (int i = 0; i < count; i++) {
        if (is_null[i])
            continue;
        const char* said = TextDatumGetCString(line[i]);
        if (pg_strncasecmp(said, setting, strlen(setting)) != 0)
            continue;
        int found;
        if (!parse_int(said + strlen(setting), &found, 0, nullptr) || found < -1)
            return false;
        *number = found;
        return true;
    }
    return false;
}

bool find_setting(Relation settings_of, Oid database, Oid role, int* number) {
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
        found = !is_null && find_number(lines, number);
    }
    systable_endscan(scan);
    return found;
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_max_hooks_of);

// The number, and whether it was said for this role in this database: then it takes such a
// statement to change it.
PGDLLEXPORT Datum whisperer_max_hooks_of(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    Oid role = PG_GETARG_OID(0);
    int most = max_hooks_of_all ? *max_hooks_of_all : settings.max_hooks_per_role;
    Relation settings_of = table_open(DbRoleSettingRelationId, AccessShareLock);
    bool of_database = find_setting(settings_of, MyDatabaseId, role, &most);
    if (!of_database && !find_setting(settings_of, InvalidOid, role, &most) &&
        !find_setting(settings_of, MyDatabaseId, InvalidOid, &most))
        find_setting(settings_of, InvalidOid, InvalidOid, &most);
    table_close(settings_of, AccessShareLock);

    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "whisperer_max_hooks_of returns a row");
    Datum values[] = {Int32GetDatum(most), BoolGetDatum(of_database)};
    bool nulls[] = {false, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
}
