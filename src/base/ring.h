// The ring of partitions that outbox and ledger are cut into, so that old events go by TRUNCATE.
//
// A slot is filled for a sixth of whisperer.retention.  Of the eight one is being filled, six hold
// what retention promises, and one may be emptied.  Which is which follows from the clock alone;
// that the rows in a slot are really old is checked before it is emptied (retention_main.cpp),
// because the setting or the clock may have changed since.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

constexpr int slot_count = 8;

// Where events are recorded now.
int16 current_slot();

// The one that was filled longest ago, and will be filled next.
int16 oldest_slot();

// How soon the oldest slot is filled again, in microseconds.
int64 period_left_us();

// How long a slot is filled, in microseconds.
int64 slot_period_us();

// Events recorded before this are past retention.
TimestampTz retention_horizon(TimestampTz now);

// How long the data of an event is kept: as long as the event, or less.
int payload_kept_s();

// Whether the table is one of those that events and their results are written to, or a partition.
bool is_in_ring(Oid table);

}  // namespace whisperer::pg
