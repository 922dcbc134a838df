// Waiting for durability without blocking: the local flush is ours to do, the standbys' is watched.
#include "src/read/durability.h"

namespace whisperer::pg {

namespace {

// The commit log forgets transactions that are frozen everywhere; those are durable for long.
bool commit_log_has(uint64 xid) {
    uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
    if (next - xid > (uint64)PG_INT32_MAX)
        return false;
    return !TransactionIdPrecedes((TransactionId)xid, pg_oldest_clog_xid());
}

XLogRecPtr commit_position(uint64 xid) {
    XLogRecPtr position = InvalidXLogRecPtr;
    LWLockAcquire(XactTruncationLock, LW_SHARED);
    if (commit_log_has(xid))
        position = TransactionIdGetCommitLSN((TransactionId)xid);
    LWLockRelease(XactTruncationLock);
    return position;
}

bool standbys_have(XLogRecPtr position) {
    LWLockAcquire(SyncRepLock, LW_SHARED);
    bool have = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH] >= position;
    LWLockRelease(SyncRepLock);
    return have;
}

bool have_standbys() {
    return max_wal_senders > 0 && SyncRepStandbyNames && SyncRepStandbyNames[0] != '\0';
}

}  // namespace

void add_transaction(SafePosition* position, uint64 xid) {
    XLogRecPtr committed = commit_position(xid);
    if (committed > position->local)
        position->local = committed;
}

bool make_safe(SafePosition* position) {
    if (!XLogRecPtrIsInvalid(position->local))
        XLogFlush(position->local);
    // Where a commit lies is known for asynchronous ones only; but whatever is visible was
    // inserted, and is flushed by now.  A page that is held keeps its position, or the standbys
    // would never have followed.
    if (have_standbys() && !position->is_held)
        position->standby = Max(position->standby, GetFlushRecPtr(nullptr));
    position->is_held = have_standbys();
    position->is_held = must_be_held(position);
    return !position->is_held;
}

bool must_be_held(const SafePosition* position) {
    return position->is_held && have_standbys() && !standbys_have(position->standby);
}

}  // namespace whisperer::pg
