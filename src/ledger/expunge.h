// What the ledger has of events whose data goes: answers, bodies that were made of it, errors of
// functions, which may quote it.  Ids, states, times, counts and HTTP status stay.
#pragma once

#include "src/base/error_code.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

// Why a delivery ends whose event has no data any more.
constexpr DeliveryError expunged = {"expunged", WhispererErrorExpunged};

// In a writing transaction, of events of one slot: takes it out of this worker's rows, or those of
// one hook, 0: all, and ends what is pending as failed, by entries of the ledger's batch, which has
// none of these rows.  False: some are in flight, and what comes of them would be written
// afterwards; to be asked for again.
bool expunge_rows(Worker* worker, int16 slot, const Datum* event_ids, int count,
                  int64 only_hook = 0);

// The same of one event and one hook, which may be deleted or another database's.
bool expunge_delivery(Worker* worker, const pg_uuid_t& event_id, int64 hook_id);

}  // namespace whisperer::pg
