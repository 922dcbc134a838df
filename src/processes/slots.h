// Slots of delivery nodes that are away.
#pragma once

namespace whisperer::pg {

// Logs a WARNING for each slot of a delivery node that nobody reads and that keeps much WAL: half
// of what max_slot_wal_keep_size allows, or 1 GB where that allows any amount.  Said again after an
// hour, or when the slot kept less in between.  By the launcher, each time it looks around.
void warn_of_slots();

}  // namespace whisperer::pg
