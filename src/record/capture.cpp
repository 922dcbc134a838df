// The trigger function whisperer.capture: turns changed rows into events, in the writer's
// transaction.
//
// What is made of a row is payload.cpp's; record_events then only inserts finished values.
#include "src/record/payload.h"

namespace whisperer::pg {

namespace {

void require_usable(TriggerData* trigger) {
    TriggerEvent event = trigger->tg_event;
    if (TRIGGER_FIRED_BY_TRUNCATE(event))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("trigger \"%s\": whisperer.capture does not support TRUNCATE",
                       trigger->tg_trigger->tgname),
                errhint("A TRUNCATE has no rows to tell of; call whisperer.deliver_event "
                        "instead."));
    if (!TRIGGER_FIRED_AFTER(event))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("trigger \"%s\": whisperer.capture must fire AFTER the change",
                       trigger->tg_trigger->tgname),
                errhint("Create the trigger as AFTER INSERT, UPDATE or DELETE."));
}

// A table's owner who may not publish the type any more does not break the transactions of those
// who write: the event is recorded, for nobody.
void record(const PayloadMaker& maker, const NewEvent* events, int count) {
    const CaptureOptions& options = *maker.options;
    bool registered;
    bool allowed = may_publish(options.table_owner, options.event_type, &registered);
    if (!allowed)
        warn_of_publisher(options);
    else
        warn_of_gone(options);
    int64 for_whom = !allowed     ? for_nobody
                     : registered ? for_all
                                  : for_members_of(options.table_owner);
    record_events(options.event_type, options.source, nullptr, for_whom, events, count);
}

void capture_row(TriggerData* trigger, const PayloadMaker& maker) {
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    NewEvent event = {};
    int level = pin_settings();
    bool wanted = make_event(maker, is_update ? trigger->tg_newtuple : trigger->tg_trigtuple,
                             is_update ? trigger->tg_trigtuple : nullptr, is_update, &event);
    AtEOXact_GUC(true, level);
    if (wanted)
        record(maker, &event, 1);
}

// One of the statement's transition tables, read from its start by a pointer of our own: other
// triggers of the statement read it too.
struct TransitionTable {
    Tuplestorestate* store;
    int pointer;
    TupleTableSlot* slot;
};

TransitionTable open_transition_table(Tuplestorestate* store, TupleDesc desc) {
    TransitionTable table = {};
    if (store == nullptr)
        return table;
    table.store = store;
    table.pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
    tuplestore_select_read_pointer(store, table.pointer);
    tuplestore_rescan(store);
    table.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
    return table;
}

// The next row, copied into the current memory context; null at the end or where there is no table.
HeapTuple next_row(TransitionTable& table) {
    if (table.store == nullptr)
        return nullptr;
    // Where the table does not fit into work_mem, each row is read from a file into the current
    // context, and the slot frees it when it gets the next one: so that must be the slot's own.
    MemoryContext caller = MemoryContextSwitchTo(table.slot->tts_mcxt);
    tuplestore_select_read_pointer(table.store, table.pointer);
    bool found = tuplestore_gettupleslot(table.store, true, false, table.slot);
    MemoryContextSwitchTo(caller);
    return found ? ExecCopySlotHeapTuple(table.slot) : nullptr;
}

// Rows are turned into events and inserted in runs, each in memory that is emptied after it, so
// that a statement of a million rows needs no more than one of a hundred, and one of wide rows
// little more than its widest row.  What rows of an ordinary size need is never given back to the
// system within the statement.
constexpr int run_rows_max = 100;
constexpr Size run_bytes = 256 * 1024;
// Of everything that the rows of a run need, their JSON above all.
constexpr Size run_bytes_max = 1024 * 1024;

// The columns of the trigger's key that the statement does not set, so that a row has the same
// values in them before and after.
struct KeptKey {
    AttrNumber* columns;
    int count;
};

KeptKey kept_key(const TriggerData* trigger, const CaptureOptions& options) {
    KeptKey kept = {};
    kept.columns = (AttrNumber*)palloc(sizeof(AttrNumber) * Max(options.key_count, 1));
    for (int i = 0; i < options.key_count; i++)
        if (!bms_is_member(options.keys[i] - FirstLowInvalidHeapAttributeNumber,
                           trigger->tg_updatedcols))
            kept.columns[kept.count++] = options.keys[i];
    return kept;
}

// The two transition tables of an UPDATE have their rows in the same order, but a row that moves to
// another partition and is suppressed there, by a BEFORE trigger, is in the old one alone.  Then an
// old row is found by its key.
struct Rows {
    TransitionTable rows;
    TransitionTable old_rows;  // of an UPDATE
    bool is_update;
    bool is_paired;  // none is missing in rows
    // The rest only if it is not paired.
    KeptKey key;
    HTAB* keys;  // KeyCount: of old_rows
    int mark;    // of old_rows: where a search began
};

struct KeyCount {
    uint32 hash;  // of a key
    int count;    // how many old rows have it
};

HTAB* count_keys(const PayloadMaker& maker, const KeptKey& key, TransitionTable& old_rows) {
    HASHCTL control = {};
    control.keysize = sizeof(uint32);
    control.entrysize = sizeof(KeyCount);
    control.hcxt = CurrentMemoryContext;
    HTAB* keys = hash_create("whisperer keys of old rows", 128, &control,
                             HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    while (HeapTuple row = next_row(old_rows)) {
        CHECK_FOR_INTERRUPTS();
        uint32 hash = key_hash(maker, row, key.columns, key.count);
        bool found;
        KeyCount* one = (KeyCount*)hash_search(keys, &hash, HASH_ENTER, &found);
        one->count = found ? one->count + 1 : 1;
        heap_freetuple(row);
    }
    tuplestore_rescan(old_rows.store);
    return keys;
}

// Whether just one old row may have the key of this row.
bool is_told_by_key(const PayloadMaker& maker, const Rows& from, HeapTuple row) {
    if (from.key.count == 0)
        return false;
    uint32 hash = key_hash(maker, row, from.key.columns, from.key.count);
    const KeyCount* found = (KeyCount*)hash_search(from.keys, &hash, HASH_FIND, nullptr);
    return found && found->count == 1;
}

// The row before the update; null: there is no table, or some rows are missing and no key tells
// which row it was.  (A BEFORE trigger that changes the key of a row is not seen.)
HeapTuple old_row_of(const PayloadMaker& maker, Rows& from, HeapTuple row) {
    TransitionTable& old_rows = from.old_rows;
    if (from.is_paired)
        return next_row(old_rows);
    if (!is_told_by_key(maker, from, row))
        return nullptr;
    tuplestore_copy_read_pointer(old_rows.store, old_rows.pointer, from.mark);
    while (HeapTuple old_row = next_row(old_rows)) {
        CHECK_FOR_INTERRUPTS();
        if (has_same_key(maker, row, old_row, from.key.columns, from.key.count))
            return old_row;
        heap_freetuple(old_row);
    }
    tuplestore_copy_read_pointer(old_rows.store, from.mark, old_rows.pointer);
    return nullptr;
}

struct Run {
    MemoryContext context;
    NewEvent* events;
    int count;
};

// False after the last row.
bool fill_run(const PayloadMaker& maker, Rows& from, Run* run) {
    bool more = true;
    run->count = 0;
    int level = pin_settings();
    while (run->count < run_rows_max &&
           MemoryContextMemAllocated(run->context, true) <= run_bytes_max) {
        HeapTuple row = next_row(from.rows);
        more = row != nullptr;
        if (!more)
            break;
        HeapTuple old_row = old_row_of(maker, from, row);
        if (make_event(maker, row, old_row, from.is_update, &run->events[run->count]))
            run->count++;
    }
    AtEOXact_GUC(true, level);
    return more;
}

Rows open_rows(TriggerData* trigger, const PayloadMaker& maker) {
    TupleDesc desc = RelationGetDescr(trigger->tg_relation);
    bool is_delete = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
    Rows from = {};
    from.is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    from.rows =
        open_transition_table(is_delete ? trigger->tg_oldtable : trigger->tg_newtable, desc);
    from.old_rows = open_transition_table(from.is_update ? trigger->tg_oldtable : nullptr, desc);
    from.is_paired =
        from.old_rows.store == nullptr ||
        tuplestore_tuple_count(from.rows.store) == tuplestore_tuple_count(from.old_rows.store);
    if (from.is_paired)
        return from;
    from.mark = tuplestore_alloc_read_pointer(from.old_rows.store, EXEC_FLAG_REWIND);
    from.key = kept_key(trigger, *maker.options);
    if (from.key.count > 0)
        from.keys = count_keys(maker, from.key, from.old_rows);
    return from;
}

void close_rows(const Rows& from) {
    ExecDropSingleTupleTableSlot(from.rows.slot);
    if (from.old_rows.slot)
        ExecDropSingleTupleTableSlot(from.old_rows.slot);
}

// The event that fired as a trigger's definition has it.
int16 fired_by(TriggerEvent event) {
    return TRIGGER_FIRED_BY_INSERT(event)   ? TRIGGER_TYPE_INSERT
           : TRIGGER_FIRED_BY_DELETE(event) ? TRIGGER_TYPE_DELETE
                                            : TRIGGER_TYPE_UPDATE;
}

void capture_statement(TriggerData* trigger, const PayloadMaker& maker) {
    check_transition_tables(trigger->tg_relation, *trigger->tg_trigger, *maker.options,
                            fired_by(trigger->tg_event));
    Rows from = open_rows(trigger, maker);
    Run run = {};
    run.events = (NewEvent*)palloc(sizeof(NewEvent) * run_rows_max);
    run.context = AllocSetContextCreate(CurrentMemoryContext, "whisperer capture run", run_bytes,
                                        run_bytes, ALLOCSET_DEFAULT_MAXSIZE);
    MemoryContext caller = MemoryContextSwitchTo(run.context);
    bool more = true;
    while (more) {
        CHECK_FOR_INTERRUPTS();
        more = fill_run(maker, from, &run);
        if (run.count > 0)
            record(maker, run.events, run.count);
        MemoryContextReset(run.context);
    }
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(run.context);
    close_rows(from);
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_capture);

PGDLLEXPORT Datum whisperer_capture(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("whisperer.capture can only be called as a trigger"),
                errhint("To record an event by hand, call whisperer.deliver_event."));
    TriggerData* trigger = (TriggerData*)fcinfo->context;
    whisperer::pg::require_usable(trigger);
    const whisperer::pg::CaptureOptions* options =
        whisperer::pg::capture_options(trigger->tg_relation, trigger->tg_trigger);
    // An event about an event would be followed by the next without end.
    if (options->is_in_ring || options->is_orphan ||
        (options->operations & whisperer::pg::fired_by(trigger->tg_event)) == 0)
        return (Datum)0;
    whisperer::pg::PayloadMaker maker =
        whisperer::pg::payload_maker(options, trigger->tg_relation, fcinfo->flinfo);
    if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
        whisperer::pg::capture_row(trigger, maker);
    else
        whisperer::pg::capture_statement(trigger, maker);
    return (Datum)0;
}
}
