// See named_by_triggers.h.
#include "src/record/named_by_triggers.h"

#include "src/record/capture_triggers.h"

namespace whisperer::pg {

namespace {

// --- what a trigger's arguments name
// ---------------------------------------------------------------

const char* value_of(const char* option, const char* name) {
    size_t length = strlen(name);
    return strncmp(option, name, length) == 0 && option[length] == '=' ? option + length + 1
                                                                       : nullptr;
}

void refuse_for(Form_pg_trigger trigger, const char* what, const char* named) {
    ereport(ERROR, errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
            errmsg("%s %s is named by trigger \"%s\" on table \"%s\"", what, named,
                   NameStr(trigger->tgname), get_rel_name(trigger->tgrelid)),
            errdetail("The trigger's events would be without it, or fail."),
            errhint("Drop the trigger first, and create it anew afterwards."));
}

// --- columns
// ------------------------------------------------------------------------------------------

void refuse_column(Form_pg_trigger trigger, char** arguments, int count, void* argument) {
    const char* column = (const char*)argument;
    constexpr const char* lists[] = {"columns", "changed", "key"};
    for (int i = 1; i < count; i++)
        for (const char* name : lists) {
            const char* list = value_of(arguments[i], name);
            List* names;
            if (list == nullptr || !SplitIdentifierString(pstrdup(list), ',', &names))
                continue;
            ListCell* cell;
            foreach (cell, names)
                if (strcmp((const char*)lfirst(cell), column) == 0)
                    refuse_for(trigger, "column", quote_identifier(column));
        }
}

struct TypedColumn {
    Oid type;
    const char* column;
};

void refuse_typed(Form_pg_trigger trigger, char** arguments, int count, void* argument) {
    const TypedColumn* typed = (const TypedColumn*)argument;
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(trigger->tgrelid));
    if (!HeapTupleIsValid(tuple))
        return;
    bool is_of_type = ((Form_pg_class)GETSTRUCT(tuple))->reloftype == typed->type;
    ReleaseSysCache(tuple);
    if (is_of_type)
        refuse_column(trigger, arguments, count, const_cast<char*>(typed->column));
}

// --- serializers
// --------------------------------------------------------------------------------------

struct Named {
    const char* schema;
    const char* function;  // null: all of the schema
};

void refuse_serializer(Form_pg_trigger trigger, char** arguments, int count, void* argument) {
    const Named* named = (const Named*)argument;
    for (int i = 1; i < count; i++) {
        const char* value = value_of(arguments[i], "serializer");
        List* names = value ? pg_qualified_names(value) : NIL;
        if (list_length(names) == 2 && strcmp(strVal(linitial(names)), named->schema) == 0 &&
            (!named->function || strcmp(strVal(lsecond(names)), named->function) == 0))
            refuse_for(trigger, "serializer", value);
    }
}

}  // namespace

// What the statement does to the children it does to their columns, too, and what it does to a type
// to the tables OF it.
void check_column(const RangeVar* relation, const char* column) {
    Oid table = RangeVarGetRelid(relation, NoLock, true);
    if (!OidIsValid(table))
        return;
    if (get_rel_relkind(table) == RELKIND_COMPOSITE_TYPE) {
        TypedColumn typed = {get_rel_type_id(table), column};
        visit_capture_triggers(InvalidOid, refuse_typed, &typed);
        return;
    }
    List* tables =
        relation->inh ? find_all_inheritors(table, NoLock, nullptr) : list_make1_oid(table);
    ListCell* cell;
    foreach (cell, tables)
        visit_capture_triggers(lfirst_oid(cell), refuse_column, const_cast<char*>(column));
}

void check_function(const ObjectWithArgs* object, ObjectType kind) {
    Oid function = LookupFuncWithArgs(kind, const_cast<ObjectWithArgs*>(object), true);
    if (!OidIsValid(function))
        return;
    Named named = {get_namespace_name(get_func_namespace(function)), get_func_name(function)};
    visit_capture_triggers(InvalidOid, refuse_serializer, &named);
}

void check_schema(const char* schema) {
    Named named = {schema, nullptr};
    visit_capture_triggers(InvalidOid, refuse_serializer, &named);
}

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

}  // namespace whisperer::pg
