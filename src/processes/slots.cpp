// A node that does not come back fills the disk of its primary, and nobody may be looking at
// whisperer.nodes.  What is read here is in shared memory: the launcher has no database, and the
// slots are the server's.
#include "src/processes/slots.h"

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

namespace {

constexpr char prefix[] = "whisperer_";
constexpr int64 bytes_per_mb = 1024 * 1024;
constexpr int64 unbounded_warning_bytes = 1024 * bytes_per_mb;
constexpr int64 say_again_us = 3600 * USECS_PER_SEC;

struct Kept {
    char slot[NAMEDATALEN];
    int64 bytes;
    bool is_active;
};

int64 warning_bytes() {
    return max_slot_wal_keep_size_mb < 0 ? unbounded_warning_bytes
                                         : max_slot_wal_keep_size_mb * bytes_per_mb / 2;
}

// No bytes: it is no slot of a node, or keeps nothing any more.
Kept look_at_slot(int number) {
    Kept kept = {};
    XLogRecPtr from = InvalidXLogRecPtr;
    LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
    ReplicationSlot* slot = &ReplicationSlotCtl->replication_slots[number];
    if (slot->in_use) {
        SpinLockAcquire(&slot->mutex);
        if (SlotIsLogical(slot))
            from = slot->data.restart_lsn;
        kept.is_active = pg_is_active(slot);
        strlcpy(kept.slot, NameStr(slot->data.name), sizeof kept.slot);
        SpinLockRelease(&slot->mutex);
    }
    LWLockRelease(ReplicationSlotControlLock);
    // An invalidated slot has no place any more.
    if (from != InvalidXLogRecPtr && strncmp(kept.slot, prefix, strlen(prefix)) == 0)
        kept.bytes = (int64)(GetXLogWriteRecPtr() - from);
    return kept;
}

void warn(const Kept& kept) {
    ereport(WARNING,
            errmsg("whisperer: node \"%s\" is away, and its replication slot keeps " INT64_FORMAT
                   " MB of WAL",
                   kept.slot + strlen(prefix), kept.bytes / bytes_per_mb),
            errdetail("Slot \"%s\" of pg_replication_slots keeps it until the node has had it%s.",
                      kept.slot,
                      max_slot_wal_keep_size_mb < 0
                          ? ", also when the disk is full"
                          : ", or until it is more than max_slot_wal_keep_size"),
            errhint("Start the node and its subscription. For one that does not come back: SELECT "
                    "whisperer.remove_node('%s', force => true), or pg_drop_replication_slot('%s') "
                    "if it was never added. max_slot_wal_keep_size bounds what a slot keeps.",
                    kept.slot + strlen(prefix), kept.slot));
}

}  // namespace

void warn_of_slots() {
    // By the slot's place, which is another's only after a time without any; 0: all is well.
    static SteadyTime* told_at = nullptr;
    if (told_at == nullptr)
        told_at = (SteadyTime*)MemoryContextAllocZero(TopMemoryContext,
                                                      max_replication_slots * sizeof(SteadyTime));
    SteadyTime now = steady_now();
    for (int i = 0; i < max_replication_slots; i++) {
        Kept kept = look_at_slot(i);
        // One that comes for a moment and fails again has not been well in between.
        if (kept.bytes <= warning_bytes()) {
            told_at[i] = 0;
            continue;
        }
        if (kept.is_active || (told_at[i] != 0 && now - told_at[i] < say_again_us))
            continue;
        told_at[i] = now;
        warn(kept);
    }
}

}  // namespace whisperer::pg
