// Ending pending rows of the ledger without another attempt: their time is over, or their data is
// gone.
#pragma once

#include "src/base/error_code.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

// Of a query for it, the first columns.  is_operator_event asks the outbox of row d.
#define ENDED_COLUMNS                                                                      \
    "d.event_id, d.hook_id, d.xid, d.retry_count, EXISTS (SELECT FROM whisperer.outbox o " \
    "WHERE o.xid = d.xid AND o.id = d.event_id AND o.slot = d.slot "                       \
    "AND starts_with(o.event_type, 'whisperer-'))"
enum EndedColumn {
    EndedEventId = 1,
    EndedHookId,
    EndedXid,
    EndedRetryCount,
    EndedOperatorEvent,
    EndedColumnCount = EndedOperatorEvent,
};

// A row of the last SPI result, of which nothing is in flight: it fails, by an entry of the
// ledger's batch, and its line goes on.
void end_pending(Worker* worker, int row, int16 slot, const DeliveryError& error);

}  // namespace whisperer::pg
