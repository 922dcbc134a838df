// See formats.h.
#include "src/hooks/formats.h"

#include "src/base/identity.h"
#include "src/base/transaction.h"

namespace whisperer::pg {

namespace {

constexpr const char* default_format = "whisperer";

const char* as_kept(const char* format) {
    return strcmp(format, default_format) == 0 ? nullptr : format;
}

const char* as_written(const char* format) {
    return format ? format : default_format;
}

void add_former(Hook* hook, const char* format, XidSnapshot* until) {
    hook->formers[hook->former_count++] = {as_kept(format), until};
}

// With room for one more.
void load_formers(Hook* hook, Datum formats, char* untils, int64 incarnation) {
    Datum* names = nullptr;
    int count = 0;
    if (formats)
        deconstruct_array(DatumGetArrayTypeP(formats), TEXTOID, -1, false, TYPALIGN_INT, &names,
                          nullptr, &count);
    hook->formers_incarnation = incarnation;
    hook->formers = (FormerFormat*)palloc(sizeof(FormerFormat) * (Size)(count + 1));
    for (int i = 0; i < count; i++)
        add_former(hook, TextDatumGetCString(names[i]),
                   parse_snapshot(strsep(&untils, ";"), hook->context));
}

// What nobody has to read again needs no format, but in a database that it was carried to.
bool is_over(const HookSet* set, const Hook& hook, const FormerFormat& former) {
    return !hook.is_unadopted && hook.carried == nullptr && covers(set->settled, former.until);
}

void write_formats(const HookSet* set, const Hook& hook) {
    static SPIPlanPtr plan;
    Datum* formats = (Datum*)palloc(sizeof(Datum) * (Size)hook.former_count);
    Datum* untils = (Datum*)palloc(sizeof(Datum) * (Size)hook.former_count);
    int count = 0;
    for (int i = 0; i < hook.former_count; i++) {
        if (is_over(set, hook, hook.formers[i]))
            continue;
        formats[count] = CStringGetTextDatum(as_written(hook.formers[i].format));
        untils[count++] = hook.formers[i].until->datum;
    }
    const Oid types[] = {INT8OID, TEXTOID, TEXTARRAYOID, PG_SNAPSHOTARRAYOID, INT8OID};
    Datum values[] = {Int64GetDatum(hook.id), CStringGetTextDatum(as_written(hook.format)),
                      make_array(formats, nullptr, count, TEXTOID),
                      make_array(untils, nullptr, count, PG_SNAPSHOTOID),
                      Int64GetDatum(my_incarnation())};
    run_plan(kept_plan(&plan,
                       "INSERT INTO whisperer.hook_run (hook_id, current_format, former_formats, "
                       "former_until, formats_incarnation) SELECT h.id, $2, $3, $4, $5 "
                       "FROM whisperer.hook_definition h WHERE h.id = $1 ON CONFLICT (hook_id) "
                       "DO UPDATE SET current_format = excluded.current_format, "
                       "former_formats = excluded.former_formats, "
                       "former_until = excluded.former_until, "
                       "formats_incarnation = excluded.formats_incarnation",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_INSERT);
}

}  // namespace

void load_formats(HookSet* set, Hook* hook, int row, int first) {
    hook->format = text_column(row, first);
    bool is_new = bool_column(row, first + 1);
    const char* current = text_column(row, first + 2);
    load_formers(hook, datum_column(row, first + 3), text_column(row, first + 4),
                 int64_column(row, first + 5));
    // One that nothing is sent to has no format yet.
    if (!is_new || (current == nullptr && !hook->runnable))
        return;
    if (hook->formers_incarnation != my_incarnation())
        hook->former_count = 0;
    hook->formers_incarnation = my_incarnation();
    if (current)
        add_former(hook, current, parse_snapshot(set->sent_until->text, hook->context));
    hook->is_new_format = set->has_new_formats = true;
}

const char* format_for(const HookSet* set, const Hook& hook, uint64 xid, int64 incarnation) {
    bool is_own = incarnation == 0, are_own = hook.formers_incarnation == my_incarnation();
    if (hook.former_count == 0 || (is_own && visible_in(xid, set->settled)))
        return hook.format;
    // Carried here, so it is older than any change that was made here.
    if (!is_own && are_own)
        return hook.formers[0].format;
    bool can_be_compared = is_own ? are_own : incarnation == hook.formers_incarnation;
    for (int i = 0; can_be_compared && i < hook.former_count; i++)
        if (visible_in(xid, hook.formers[i].until))
            return hook.formers[i].format;
    return hook.format;
}

void note_new_formats(HookSet* set) {
    if (!set->has_new_formats)
        return;
    begin_transaction("noting new formats of hooks");
    for (int i = 0; i < set->count; i++)
        if (set->hooks[i]->is_new_format)
            write_formats(set, *set->hooks[i]);
    commit_transaction();
    // The worker's commits wait for nothing, and for a standby nothing needs to wait here.
    XLogFlush(XactLastCommitEnd);
    for (int i = 0; i < set->count; i++)
        set->hooks[i]->is_new_format = false;
    set->has_new_formats = false;
}

}  // namespace whisperer::pg
