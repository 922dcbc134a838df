// Looking up decisions and making them; see key_decisions.h.
#include "src/read/key_decisions.h"

#include "src/base/encoding.h"
#include "src/base/event_facts.h"
#include "src/base/identity.h"
#include "src/base/injection.h"
#include "src/base/key_digest.h"
#include "src/base/transaction.h"
#include "src/base/unix_time.h"
#include "src/read/page_match.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

struct KeyedEvent {
    pg_uuid_t id;
    int16 slot;
    TimestampTz created_at;
    TimestampTz until;
    text* event_type;
    text* key;
};

// As make_meta begins that of an event with a key; others are not read for it.
constexpr char meta_begin[] = "{\"idempotency_key\":";
constexpr int meta_begin_bytes = sizeof meta_begin - 1;

bool begins_with_key(Datum meta) {
    text* begin = DatumGetTextPSlice(meta, 0, meta_begin_bytes);
    return VARSIZE(begin) - VARHDRSZ == meta_begin_bytes &&
           memcmp(VARDATA(begin), meta_begin, meta_begin_bytes) == 0;
}

// What is for one hook alone (a ping, backfill, a replay with new ids) was asked for once more.
bool read_keyed_event(const SPITupleTable* rows, uint64 row, KeyedEvent* event) {
    Datum meta = rows_column(rows, row, PageMeta);
    if (meta == (Datum)0 || rows_column(rows, row, PageHookId) != (Datum)0 ||
        !begins_with_key(meta))
        return false;
    WhispererEventKey key = {};
    text* json = DatumGetTextPP(meta);
    WhispererSpan utf8;
    // What cannot be read cannot be sent either, which is said where it is to be.
    if (!utf8_from_server(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), &utf8) ||
        whisperer_event_key(utf8, &key, nullptr) != WhispererOk || key.key[0] == '\0')
        return false;
    event->key = key_digest({key.key, strlen(key.key)});
    event->until = timestamp_from_unix(key.until_us);
    event->id = *DatumGetUUIDP(rows_column(rows, row, PageId));
    event->slot = DatumGetInt16(rows_column(rows, row, PageSlot));
    event->created_at = DatumGetTimestampTz(rows_column(rows, row, PageCreatedAt));
    event->event_type = DatumGetTextPCopy(rows_column(rows, row, PageEventType));
    return true;
}

HTAB* create_ids(const char* name, Size entry_bytes) {
    HASHCTL control = {};
    control.keysize = sizeof(pg_uuid_t);
    control.entrysize = entry_bytes;
    control.hcxt = CurrentMemoryContext;
    return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

struct Decision {
    pg_uuid_t id;  // first: the table's key
    bool is_duplicate;
};

void query_decisions(const KeyedEvent* events, int count) {
    static SPIPlanPtr plan;
    Datum* keys = (Datum*)palloc(sizeof(Datum) * count);
    Datum* event_types = (Datum*)palloc(sizeof(Datum) * count);
    Datum* ids = (Datum*)palloc(sizeof(Datum) * count);
    for (int i = 0; i < count; i++) {
        keys[i] = PointerGetDatum(events[i].key);
        event_types[i] = PointerGetDatum(events[i].event_type);
        ids[i] = UUIDPGetDatum(&events[i].id);
    }
    const Oid types[] = {TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID, INT8OID};
    Datum values[] = {make_array(keys, nullptr, count, TEXTOID),
                      make_array(event_types, nullptr, count, TEXTOID),
                      make_array(ids, nullptr, count, UUIDOID), Int64GetDatum(my_incarnation())};
    // Another database's come first, so that this one's own count.
    run_plan(kept_plan(&plan,
                       "SELECT d.event_id, d.duplicate_of IS NOT NULL, "
                       "CASE WHEN d.incarnation = $4 THEN d.xid END "
                       "FROM unnest($1, $2, $3) AS k (key, event_type, id) "
                       "JOIN whisperer.key_decision d ON d.key = k.key "
                       "AND d.event_type = k.event_type AND d.event_id = k.id "
                       "ORDER BY d.incarnation = $4",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

HTAB* load_decisions(const KeyedEvent* events, int count, SafePosition* safe) {
    HTAB* decisions = create_ids("whisperer decisions", sizeof(Decision));
    query_decisions(events, count);
    for (uint64 row = 0; row < SPI_processed; row++) {
        pg_uuid_t id = uuid_column((int)row, 1);
        Decision* decision = (Decision*)hash_search(decisions, &id, HASH_ENTER, nullptr);
        decision->is_duplicate = bool_column((int)row, 2);
        if (safe && datum_column((int)row, 3) != (Datum)0)
            add_transaction(safe, xid_column((int)row, 3));
    }
    return decisions;
}

// Nothing to do where it has been decided, by another worker maybe.  Only what is delivered itself
// stands for others, so that one of a chain is not delivered for the sake of another that is not.
// What another database decides of its own events stands for none here while it only replicates
// them; when they have come with a restore or copy, or were adopted, it does.
void decide_on(const KeyedEvent& event) {
    static SPIPlanPtr plan;
    const Oid types[] = {TEXTOID,        TEXTOID, UUIDOID, TIMESTAMPTZOID,
                         TIMESTAMPTZOID, INT8OID, INT2OID};
    Datum values[] = {PointerGetDatum(event.key),       PointerGetDatum(event.event_type),
                      UUIDPGetDatum(&event.id),         TimestampTzGetDatum(event.created_at),
                      TimestampTzGetDatum(event.until), Int64GetDatum(my_incarnation()),
                      Int16GetDatum(event.slot)};
    run_plan(
        kept_plan(
            &plan,
            "INSERT INTO whisperer.key_decision "
            "(key, event_type, event_id, duplicate_of, created_at, until, incarnation, slot) "
            "SELECT $1, $2, $3, (SELECT d.event_id FROM whisperer.key_decision d "
            "WHERE d.key = $1 AND d.event_type = $2 AND d.duplicate_of IS NULL "
            "AND d.until > $4 AND d.created_at < $5 AND (d.incarnation = $6 "
            "OR (SELECT NOT k.arrived FROM whisperer.event_key k WHERE k.key = d.key "
            "AND k.event_type = d.event_type AND k.event_id = d.event_id AND k.slot = d.slot)) "
            "ORDER BY d.created_at, d.event_id LIMIT 1), "
            "$4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM whisperer.key_decision d "
            "WHERE d.key = $1 AND d.event_type = $2 AND d.event_id = $3)",
            lengthof(types), types),
        values, nullptr, false, 0, SPI_OK_INSERT);
}

// Workers decide one at a time.  A lock that no SQL can name: a stranger cannot hold them up.
void wait_for_other_workers() {
    Oid table = get_relname_relid("key_decision", get_namespace_oid("whisperer", false));
    LockDatabaseObject(table, 0, 0, ExclusiveLock);
}

}  // namespace

struct Undecided {
    MemoryContext context;
    KeyedEvent* events;
    int count;
};

Undecided* create_undecided(MemoryContext context) {
    Undecided* undecided = (Undecided*)MemoryContextAllocZero(context, sizeof(Undecided));
    undecided->context =
        AllocSetContextCreate(context, "whisperer idempotency keys", ALLOCSET_DEFAULT_SIZES);
    return undecided;
}

HTAB* find_duplicates(Undecided* undecided, const SPITupleTable* rows, uint64 count,
                      SafePosition* safe) {
    MemoryContextReset(undecided->context);
    undecided->events = nullptr;
    undecided->count = 0;
    MemoryContext caller = MemoryContextSwitchTo(undecided->context);
    int keyed = 0;
    for (uint64 row = 0; row < count; row++) {
        KeyedEvent event;
        if (!read_keyed_event(rows, row, &event))
            continue;
        if (undecided->events == nullptr)
            undecided->events = (KeyedEvent*)palloc(sizeof(KeyedEvent) * count);
        undecided->events[keyed++] = event;
    }
    MemoryContextSwitchTo(caller);
    if (keyed == 0)
        return nullptr;
    HTAB* decisions = load_decisions(undecided->events, keyed, safe);
    HTAB* duplicates = nullptr;
    for (int i = 0; i < keyed; i++) {
        const KeyedEvent& event = undecided->events[i];
        const Decision* decision = (Decision*)hash_search(decisions, &event.id, HASH_FIND, nullptr);
        if (decision == nullptr) {
            undecided->events[undecided->count++] = event;
            continue;
        }
        if (!decision->is_duplicate)
            continue;
        if (duplicates == nullptr)
            duplicates = create_ids("whisperer duplicates", sizeof(pg_uuid_t));
        (void)hash_search(duplicates, &event.id, HASH_ENTER, nullptr);
    }
    return duplicates;
}

bool has_undecided(const Undecided* undecided) {
    return undecided->count > 0;
}

void decide(Undecided* undecided) {
    begin_transaction("deciding on idempotency keys");
    wait_for_other_workers();
    for (int i = 0; i < undecided->count; i++)
        decide_on(undecided->events[i]);
    commit_transaction();
    forget(undecided);
    hold_at("after-decisions");
}

void forget(Undecided* undecided) {
    undecided->count = 0;
}

}  // namespace whisperer::pg
