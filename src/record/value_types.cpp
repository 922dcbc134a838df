// See value_types.h.
#include "src/record/value_types.h"

namespace whisperer::pg {

namespace {

using Predicate = bool (*)(Oid);

bool any_part(Oid type, Predicate is_so);

bool any_column(Oid composite, Predicate is_so) {
    TupleDesc desc = lookup_rowtype_tupdesc_copy(composite, -1);
    bool found = false;
    for (int i = 0; i < desc->natts && !found; i++)
        if (!TupleDescAttr(desc, i)->attisdropped)
            found = any_part(TupleDescAttr(desc, i)->atttypid, is_so);
    FreeTupleDesc(desc);
    return found;
}

bool any_part(Oid type, Predicate is_so) {
    check_stack_depth();
    type = getBaseType(type);
    if (is_so(type))
        return true;
    Oid element = get_element_type(type);
    if (OidIsValid(element))
        return any_part(element, is_so);
    switch (get_typtype(type)) {
        case TYPTYPE_RANGE:
            return any_part(get_range_subtype(type), is_so);
        case TYPTYPE_MULTIRANGE:
            return any_part(get_multirange_range(type), is_so);
        case TYPTYPE_COMPOSITE:
            return any_column(type, is_so);
        default:
            return false;
    }
}

bool is_name_or_money(Oid type) {
    switch (type) {
        case REGPROCOID:
        case REGPROCEDUREOID:
        case REGOPEROID:
        case REGOPERATOROID:
        case REGCLASSOID:
        case REGTYPEOID:
        case REGROLEOID:
        case REGNAMESPACEOID:
        case REGCONFIGOID:
        case REGDICTIONARYOID:
        case REGCOLLATIONOID:
        case CASHOID:
            return true;
        default:
            return pg_is_database_name(type);
    }
}

bool is_cast_to_json(Oid type) {
    Oid function;
    return type >= FirstNormalObjectId &&
           find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) == COERCION_PATH_FUNC;
}

bool is_taken_for_json(Oid type) {
    return type == JSONOID || is_cast_to_json(type);
}

bool is_row_type(Oid type) {
    return get_typtype(type) == TYPTYPE_COMPOSITE;
}

}  // namespace

bool text_follows_session(Oid type) {
    return any_part(type, is_name_or_money);
}

bool json_may_be_invalid(Oid type) {
    return any_part(type, is_taken_for_json);
}

bool json_is_by_cast(Oid type) {
    return any_part(type, is_cast_to_json);
}

bool has_row_type(Oid type) {
    return any_part(type, is_row_type);
}

}  // namespace whisperer::pg
