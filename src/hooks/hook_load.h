// Loading one hook of the set from a row, and telling the engine of it.
#pragma once

#include "src/hooks/hook_set.h"

namespace whisperer::pg {

// All hooks, deleted ones too, as the rows of SPI's last result.
void query_hooks(bool is_first);

int64 queried_hook_id(int row);

// before: what the set knew of the hook; null: nothing.  Allocates in the current memory context,
// which is the set's.
void load_hook(HookSet* set, Hook* hook, int row, WhispererEngine* engine, const Hook* before);

}  // namespace whisperer::pg
