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

}  // namespace

void add_transaction(SafePosition* position, uint64 xid) {
    XLogRecPtr committed = commit_position(xid);
    if (committed > position->local)
        position->local = committed;
}

bool make_safe(SafePosition* position) {
    if (!XLogRecPtrIsInvalid(position->local))
        XLogFlush(position->local);
    bool have_standbys = SyncRepStandbyNames && SyncRepStandbyNames[0] != '\0';
    if (max_wal_senders == 0 || !have_standbys)
        return true;
    // Where a commit lies is known for asynchronous ones only; but whatever is visible was
    // inserted, and now flushed, before this.
    if (XLogRecPtrIsInvalid(position->standby))
        position->standby = GetFlushRecPtr(nullptr);
    return standbys_have(position->standby);
}

}  // namespace whisperer::pg
