// Looking for idempotency keys; see event_keys.h.
//
// Not by a statement: under SERIALIZABLE that would lock a page of the index against other keys,
// and fail their writers.  Only who repeats a key reads the first event by one.
#include "src/record/event_keys.h"

#include "src/base/direct_insert.h"
#include "src/base/encoding.h"
#include "src/base/key_digest.h"
#include "src/base/owner_context.h"
#include "src/base/transaction.h"
#include "src/settings.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

// As the install script creates the tables.
enum KeyColumn {
    KeyText,
    KeyEventType,
    KeyEventId,
    KeyXid,
    KeyUntil,
    KeySlot,
    KeyArrived,
    KeyColumnCount
};
enum DecisionColumn { DecisionEventId = 2, DecisionDuplicateOf = 3, DecisionUntil = 6 };

struct Found {
    pg_uuid_t id;
    uint64 xid;
    int16 slot;
};

// An event that has the key: the rows of a partition, one after the other.
struct KeyScan {
    Relation relation;
    SysScanDesc scan;
    ScanKeyData keys[2];
};

// False: whoever has locked the partition is not waited for.
bool begin_key_scan(KeyScan* scan, Oid partition, text* key, const char* event_type) {
    if (!OidIsValid(partition) || !ConditionalLockRelationOid(partition, AccessShareLock))
        return false;
    scan->relation = table_open(partition, NoLock);
    list_free(RelationGetIndexList(scan->relation));
    ScanKeyInit(&scan->keys[0], KeyText + 1, BTEqualStrategyNumber, F_TEXTEQ, PointerGetDatum(key));
    ScanKeyInit(&scan->keys[1], KeyEventType + 1, BTEqualStrategyNumber, F_TEXTEQ,
                CStringGetTextDatum(event_type));
    Oid index = scan->relation->rd_pkindex;
    // All that was committed, and what this transaction has written, in this statement too.
    scan->scan = systable_beginscan(scan->relation, index, OidIsValid(index), SnapshotSelf,
                                    lengthof(scan->keys), scan->keys);
    return true;
}

// A lock that lasts as long as the transaction would keep retention from the partition.
void end_key_scan(KeyScan* scan) {
    systable_endscan(scan->scan);
    table_close(scan->relation, AccessShareLock);
}

// By the transaction's snapshot, where it has one for all its statements.
bool is_seen(const KeyScan& scan, HeapTuple row) {
    return !IsolationUsesXactSnapshot() ||
           TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row->t_data)) ||
           table_tuple_satisfies_snapshot(scan.relation, scan.scan->slot, GetTransactionSnapshot());
}

Datum key_column(const KeyScan& scan, HeapTuple row, int column) {
    bool is_null;
    Datum value = heap_getattr(row, column + 1, RelationGetDescr(scan.relation), &is_null);
    return is_null ? (Datum)0 : value;
}

bool is_past(const KeyScan& scan, HeapTuple row, int column, TimestampTz now) {
    return DatumGetTimestampTz(key_column(scan, row, column)) <= now;
}

bool is_before(const Found& left, const Found& right) {
    return left.xid != right.xid ? left.xid < right.xid : memcmp(&left.id, &right.id, UUID_LEN) < 0;
}

// The events that have the key.  Those of a database that replicates its own here, and delivers
// them itself, are none of ours: to be given one of them would be to record nothing.
List* find_recorded(const Identity& identity, text* key, const char* event_type, TimestampTz now) {
    List* all = NIL;
    for (Oid partition : identity.event_keys) {
        KeyScan scan;
        if (!begin_key_scan(&scan, partition, key, event_type))
            continue;
        while (HeapTuple row = systable_getnext(scan.scan)) {
            if (DatumGetBool(key_column(scan, row, KeyArrived)) ||
                is_past(scan, row, KeyUntil, now) || !is_seen(scan, row))
                continue;
            Found* found = (Found*)palloc(sizeof(Found));
            *found = {*DatumGetUUIDP(key_column(scan, row, KeyEventId)),
                      DatumGetUInt64(key_column(scan, row, KeyXid)),
                      DatumGetInt16(key_column(scan, row, KeySlot))};
            all = lappend(all, found);
        }
        end_key_scan(&scan);
    }
    return all;
}

// Of one or more, the one that began first.
const Found& first_of(List* all) {
    const Found* first = (const Found*)linitial(all);
    ListCell* cell;
    foreach (cell, all)
        if (is_before(*(const Found*)lfirst(cell), *first))
            first = (const Found*)lfirst(cell);
    return *first;
}

bool has_event(List* all, const pg_uuid_t& id) {
    ListCell* cell;
    foreach (cell, all)
        if (memcmp(&((const Found*)lfirst(cell))->id, &id, UUID_LEN) == 0)
            return true;
    return false;
}

// Of several, the one that the worker has decided to deliver, if it has.
void follow_decision(const Identity& identity, text* key, const char* event_type, TimestampTz now,
                     List* all, pg_uuid_t* id) {
    for (Oid partition : identity.key_decisions) {
        KeyScan scan;
        if (!begin_key_scan(&scan, partition, key, event_type))
            continue;
        while (HeapTuple row = systable_getnext(scan.scan))
            if (key_column(scan, row, DecisionDuplicateOf) == (Datum)0 &&
                !is_past(scan, row, DecisionUntil, now) &&
                has_event(all, *DatumGetUUIDP(key_column(scan, row, DecisionEventId))))
                *id = *DatumGetUUIDP(key_column(scan, row, DecisionEventId));
        end_key_scan(&scan);
    }
}

// What of an event is other than content; null: nothing.
char* difference(const Found& event, const Content& content) {
    const Oid types[] = {XID8OID, UUIDOID, INT2OID, JSONOID, TEXTOID, JSONBOID, JSONBOID};
    Datum values[] = {UInt64GetDatum(event.xid),          UUIDPGetDatum(&event.id),
                      Int16GetDatum(event.slot),          content.data,
                      PointerGetDatum(content.object_id), PointerGetDatum(content.config_filter),
                      PointerGetDatum(content.headers)};
    char nulls[lengthof(types) + 1] = {};
    for (size_t i = 0; i < lengthof(types); i++)
        nulls[i] = i > 3 && values[i] == (Datum)0 ? 'n' : ' ';
    MemoryContext caller = CurrentMemoryContext;
    UserContext saved = enter_owner(extension_owner());
    SPI_connect();
    if (run_query("SELECT whisperer_internal.content_difference($1, $2, $3, $4, $5, $6, $7)",
                  lengthof(types), types, values, nulls, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not compare events");
    char* differs = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    if (differs)
        differs = MemoryContextStrdup(caller, differs);
    SPI_finish();
    leave_owner(saved);
    return differs;
}

WhispererSpan utf8_of(text* key) {
    WhispererSpan utf8;
    if (!utf8_from_server(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), &utf8))
        ereport(ERROR, errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
                errmsg("idempotency_key cannot be converted to UTF-8"),
                err_generic_string(PG_DIAG_COLUMN_NAME, "idempotency_key"));
    return utf8;
}

}  // namespace

void check_idempotency_key(text* key) {
    WhispererError error = {};
    if (whisperer_check_idempotency_key(utf8_of(key), &error) != WhispererOk)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", error.message),
                err_generic_string(PG_DIAG_COLUMN_NAME, "idempotency_key"));
}

// An event that retention has removed is not found any more.
TimestampTz key_until() {
    return GetCurrentTimestamp() +
           Min(settings.idempotency_window_s, settings.retention_s) * USECS_PER_SEC;
}

bool find_event_of_key(const char* event_type, text* key, const Content& content, pg_uuid_t* id) {
    PreventCommandIfReadOnly("INSERT");
    // A copy: the look-ups may hear that one of our tables changed.
    Identity identity = current_identity();
    TimestampTz now = GetCurrentTimestamp();
    text* digest = key_digest(utf8_of(key));
    List* all = find_recorded(identity, digest, event_type, now);
    if (all == NIL)
        return false;
    const Found& first = first_of(all);
    char* differs = difference(first, content);
    if (differs)
        ereport(ERROR, errcode(ERRCODE_UNIQUE_VIOLATION),
                errmsg("idempotency_key was used for an event with other content"),
                errdetail("The event that has it differs in %s.", differs),
                errhint("Repeat what was recorded as it was, or choose another key."),
                err_generic_string(PG_DIAG_COLUMN_NAME, "idempotency_key"));
    *id = first.id;
    if (list_length(all) > 1)
        follow_decision(identity, digest, event_type, now, all, id);
    return true;
}

void note_event_key(const Identity& identity, int16 slot, Datum event_type, const Said& said,
                    const pg_uuid_t& id) {
    DirectInsert insert = begin_direct_insert(identity.event_keys[slot], KeyColumnCount, 1);
    TupleTableSlot* row = add_direct_row(&insert);
    set_column(row, KeyText, PointerGetDatum(key_digest(utf8_of(said.key))));
    set_column(row, KeyEventType, event_type);
    set_column(row, KeyEventId, UUIDPGetDatum(&id));
    set_column(row, KeyXid, FullTransactionIdGetDatum(GetTopFullTransactionId()));
    set_column(row, KeyUntil, TimestampTzGetDatum(said.key_until));
    set_column(row, KeySlot, Int16GetDatum(slot));
    set_column(row, KeyArrived, BoolGetDatum(false));
    end_direct_insert(&insert);
}

}  // namespace whisperer::pg
