// The process that empties one slot and ends.
//
// It reads the whole slot under a lock that lets others read but nobody insert (nobody does: the
// slot is not the current one), so what it finds stays true until it truncates in the same
// transaction.  Its statements take snapshots of their own, after the lock.  It waits for no lock:
// an INSERT or a read that came after us would wait behind our waiting.
#include "src/retention/retention.h"
#include "src/base/identity.h"
#include "src/base/injection.h"
#include "src/base/ring.h"
#include "src/base/session.h"
#include "src/base/transaction.h"
#include "src/ledger/bookmark.h"

namespace whisperer::pg {

namespace {

// The worker reads all slots in transactions of a millisecond; a person's long one is not waited
// for.
constexpr int lock_attempts = 50;
constexpr int lock_pause_ms = 20;
// 128 MB, a moment's read.
constexpr BlockNumber blocks_at_a_time = 16384;

Oid partition(const char* table, int16 slot) {
    char name[NAMEDATALEN];
    snprintf(name, sizeof name, "%s_%d", table, slot);
    return get_relname_relid(name, get_namespace_oid("whisperer", true));
}

bool lock_soon(Oid table, LOCKMODE mode) {
    for (int attempt = 0; attempt < lock_attempts; attempt++) {
        if (ConditionalLockRelationOid(table, mode))
            return true;
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, lock_pause_ms,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    return false;
}

const char* slot_query(int16 slot) {
    return psprintf(
        "WITH marks AS MATERIALIZED (SELECT * FROM whisperer.bookmark WHERE incarnation = $1) "
        "SELECT count(*), count(*) FILTER (WHERE o.created_at >= $2), "
        "count(*) FILTER (WHERE o.incarnation = $1 AND " UNDONE_BY_SOME
        "), count(*) FILTER (WHERE o.incarnation <> $1) FROM whisperer.outbox_%d o "
        "WHERE ctid >= $3 AND ctid < $4",
        slot);
}

bool query_says(const char* query) {
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(my_incarnation())};
    if (run_query(query, lengthof(types), types, values, nullptr, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look at the hooks");
    return bool_column(0, 1);
}

// Adopted hooks for which carried events are being looked through.
bool is_taking_over() {
    return query_says(
        "SELECT EXISTS (SELECT FROM whisperer.hook_definition h LEFT JOIN whisperer.hook_run r "
        "ON r.hook_id = h.id WHERE h.is_active AND h.incarnation = $1 "
        "AND h.since_incarnation <> $1 AND r.taken_over IS DISTINCT FROM $1)");
}

// Hooks that wait for resume(), and not for longer than the retention: else nothing would ever be
// removed from a copy that is not meant to deliver.
bool is_waiting_for_resume() {
    if (!query_says("SELECT EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.is_active "
                    "AND h.incarnation <> $1)")) {
        (void)run_query(
            "UPDATE whisperer.control SET carried_since = NULL "
            "WHERE carried_since IS NOT NULL",
            false, 0);
        return false;
    }
    (void)run_query(
        "INSERT INTO whisperer.control AS c (carried_since) VALUES (now()) "
        "ON CONFLICT ON CONSTRAINT control_pkey DO UPDATE "
        "SET carried_since = excluded.carried_since WHERE c.carried_since IS NULL",
        false, 0);
    const Oid types[] = {TIMESTAMPTZOID};
    Datum values[] = {TimestampTzGetDatum(retention_horizon(GetCurrentTimestamp()))};
    if (run_query("SELECT carried_since >= $1 FROM whisperer.control", lengthof(types), types,
                  values, nullptr, false, 1) != SPI_OK_SELECT ||
        SPI_processed != 1)
        elog(ERROR, "could not read whisperer.control");
    return bool_column(0, 1);
}

// How many events a slot has, and of which kinds.
struct Contents {
    int64 events;
    int64 young;
    int64 unread;
    int64 carried;
};

// values: of the query's parameters but the last two.
void add_blocks(const char* query, const Datum (&values)[2], BlockNumber from, Contents* contents) {
    ItemPointerData begin, end;
    ItemPointerSet(&begin, from, 0);
    ItemPointerSet(&end, from + blocks_at_a_time, 0);
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, TIDOID, TIDOID};
    Datum all[] = {values[0], values[1], PointerGetDatum(&begin), PointerGetDatum(&end)};
    if (run_query(query, lengthof(types), types, all, nullptr, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not read a slot");
    contents->events += int64_column(0, 1);
    contents->young += int64_column(0, 2);
    contents->unread += int64_column(0, 3);
    contents->carried += int64_column(0, 4);
    SPI_freetuptable(SPI_tuptable);
}

// A slot may be large, and vacuum waits for the oldest snapshot: so each stretch has one of its
// own.  The lock keeps what was found true.
Contents read_slot(int16 slot) {
    Contents contents = {};
    Relation relation = table_open(partition("outbox", slot), NoLock);
    BlockNumber blocks = RelationGetNumberOfBlocks(relation);
    table_close(relation, NoLock);
    const char* query = slot_query(slot);
    const Datum values[] = {Int64GetDatum(my_incarnation()),
                            TimestampTzGetDatum(retention_horizon(GetCurrentTimestamp()))};
    for (BlockNumber from = 0; from < blocks; from += blocks_at_a_time) {
        PopActiveSnapshot();
        InvalidateCatalogSnapshot();
        hold_at("between-stretches");
        PushActiveSnapshot(GetTransactionSnapshot());
        add_blocks(query, values, from, &contents);
    }
    return contents;
}

// Why the slot must stay; null: it may go.
const char* objection(int16 slot, Contents* contents) {
    *contents = read_slot(slot);
    if (contents->young > 0)
        return "it has younger events";
    if (contents->unread > 0)
        return "it has events that no worker has read yet";
    if (contents->carried > 0 && (is_taking_over() || is_waiting_for_resume()))
        return "it has events that carried hooks may still want; see whisperer.resume()";
    return nullptr;
}

bool has_pending(int16 slot) {
    return query_says(
        psprintf("SELECT EXISTS (SELECT FROM whisperer.delivery_%d WHERE state = "
                 "'pending' AND next_attempt_at IS NOT NULL) AND $1 IS NOT NULL",
                 slot));
}

// Not by TRUNCATE, which would be replicated, to where a slot may hold what is still needed.
void truncate(List* tables) {
    List* relations = NIL;
    ListCell* cell;
    foreach (cell, tables) {
        Relation relation = table_open(lfirst_oid(cell), NoLock);
        CheckTableNotInUse(relation, "TRUNCATE");
        relations = lappend(relations, relation);
    }
    pg_truncate_quietly(relations, tables);
    foreach (cell, relations)
        table_close((Relation)lfirst(cell), NoLock);
}

// An update that found somebody recording here has left it to us.
void guard(Oid table) {
    const Oid types[] = {REGCLASSOID};
    Datum values[] = {ObjectIdGetDatum(table)};
    if (run_query("SELECT whisperer_internal.guard_truncate($1)", lengthof(types), types, values,
                  nullptr, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look at the triggers of a slot");
}

// Null: it is done.
const char* empty_slot(int16 slot, Contents* contents) {
    Oid outbox = partition("outbox", slot);
    List* others = NIL;
    constexpr const char* tables[] = {"delivery", "past_attempt", "event_key", "key_decision"};
    for (const char* table : tables) {
        Oid other = partition(table, slot);
        if (OidIsValid(other))
            others = lappend_oid(others, other);
    }
    // The tables of 1.1 lack two.
    if (!OidIsValid(outbox) || list_length(others) < 2)
        return "it is gone";
    // Whoever records there must not find our lock.
    if (slot != oldest_slot() || period_left_us() < slot_period_us() / 8)
        return "it is about to be filled again";
    if (!lock_soon(outbox, ShareLock))
        return "somebody writes there";
    const char* reason = objection(slot, contents);
    if (reason)
        return reason;
    if (!lock_soon(outbox, AccessExclusiveLock))
        return "somebody reads it";
    ListCell* cell;
    foreach (cell, others)
        if (!lock_soon(lfirst_oid(cell), AccessExclusiveLock))
            return "somebody reads it";
    if (has_pending(slot))
        return "it has pending deliveries";
    if (slot == current_slot())
        return "it is being filled again";
    guard(outbox);
    truncate(lcons_oid(outbox, others));
    return nullptr;
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PGDLLEXPORT void whisperer_retention_main(Datum);

void whisperer_retention_main(Datum) {
    using namespace whisperer::pg;
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    RetentionOrder order;
    memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof order);
    pin_session();
    SetConfigOption("enable_seqscan", "on", PGC_SUSET, PGC_S_OVERRIDE);
    BackgroundWorkerInitializeConnectionByOid(order.database, InvalidOid, 0);
    begin_transaction("removing old events");
    Contents contents = {};
    const char* reason = empty_slot(order.slot, &contents);
    if (reason)
        ereport(LOG, errmsg("whisperer: slot %d is not emptied yet: %s", order.slot, reason));
    commit_transaction();
    if (reason == nullptr)
        ereport(LOG, errmsg("whisperer: events removed after whisperer.retention: " INT64_FORMAT
                            ", carried here by a restore or copy: " INT64_FORMAT,
                            contents.events, contents.carried));
    proc_exit(0);
}
}
