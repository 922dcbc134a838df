// A bound on the memory of a process of ours.
//
// A process that the kernel kills for want of memory takes the whole server along: the postmaster
// restarts everything, and what asked for so much asks again.  Within a bound malloc fails instead,
// which is an ERROR, or a code from the engine, and costs its cause alone.
#pragma once

namespace whisperer::pg {

// Data of this process (RLIMIT_DATA: heap and private mappings; shared memory does not count).
// megabytes < 0: no limit of ours.  May be called again after a change of the setting.
void limit_memory(int megabytes);

// What max_queued_bytes and max_payload let a worker hold, with the process itself.
long least_worker_memory_mb();

// Of the worker: whisperer.worker_memory, and no less than what its other settings let it hold.
void limit_worker_memory();

}  // namespace whisperer::pg
