// Handing out what the ledger has pending: when a hook has something due, and as a row of a query
// whose columns these are.
#pragma once

#include "src/base/error_code.h"
#include "src/base/event_facts.h"
#include "src/ledger/tracker.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Hook;
struct Worker;

// Of whisperer.delivery d and the event, if it is still there.
#define DUE_COLUMNS                                                                        \
    "d.event_id, d.xid, d.slot, d.retry_count, d.round_start, d.next_attempt_at, "         \
    "o.event_type, o.data, d.body, CASE WHEN d.state <> 'pending' THEN json_build_object(" \
    "'delivered', d.state = 'delivered', 'http_status', d.response_http_status, "          \
    "'content', d.response_content, 'time', extract(epoch FROM d.response_time), "         \
    "'error', d.error, 'retry_count', d.retry_count, 'event_id', d.event_id, "             \
    "'hook_id', d.hook_id)::text END, "                                                    \
    "o.created_at, o.source, o.object_id, d.format, o.meta, d.response_http_status, "      \
    "d.error_code = " CODE_SCHEMA_REFUSED
#define DUE_EVENT                                                              \
    "LEFT JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id AND " \
    "o.slot = d.slot"

enum DueColumn {
    DueEventId = 1,
    DueXid,
    DueSlot,
    DueRetryCount,
    DueRoundStart,
    DueNextAttemptAt,
    DueEventType,
    DueData,
    DueBody,
    DueResponse,
    DueRecordedAt,
    DueSource,
    DueObjectId,
    DueFormat,
    DueMeta,
    DueHttpStatus,
    DueIsInvalid,
    DueColumnCount = DueIsInvalid,
};

// Hands out what is due again, or cancels what waits for a deleted hook.
void read_due(Worker* worker);

// Whether the engine takes what the hook has in the ledger.
bool may_hand_out(const Worker* worker, const Hook* hook);

// While the helper has enough of the hook's calls, its backlog is not handed out. The end of a call
// says when there is room again; should it be missed, so does the clock.
bool must_wait_for_room(const Worker* worker, Hook* hook, TimestampTz now);

// What a row hands out; its texts live as long as the row's memory context.
struct DueRow {
    Inflight delivery;
    char* event_type;
    Datum data;
    EventFacts facts;
    WhispererEvent event;
    DeliveryError error;   // why it ends without an attempt, if it does
    bool needs_transform;  // the event has no body yet
};

// False: nothing is to be sent, or not now.  The row may be in flight, or end with a callback.
bool read_row(Worker* worker, const Hook* hook, int row, int64 line, TimestampTz probes_before,
              DueRow* due);
// Hands it to the ledger or to the helper; false: it is the engine's.
bool hand_elsewhere(Worker* worker, const Hook* hook, const DueRow& due);

// Hands the row's delivery to the engine or to the helper, unless one of them has it.
// probes_before: it is not due before then, and goes out to probe the hook's circuit; 0: it is due.
void hand_out(Worker* worker, const Hook* hook, int row, int64 line, TimestampTz probes_before = 0);

}  // namespace whisperer::pg
