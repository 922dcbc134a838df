// Loading one hook of the set from a row, and telling the engine of it.
#pragma once

#include "src/hooks/hook_set.h"

namespace whisperer::pg {

// The hooks of the array ids, deleted ones too, as the rows of SPI's last result.  is_first: the
// process knows of none yet.
void query_hooks(Datum ids, bool is_first);

int64 queried_hook_id(int row);
bool is_for_operators(int row);

// before: the hook's definition up to now; null: the process did not know it, and the hook's run is
// all zeros.  Otherwise nothing of the run changes but by what has changed in the definition.
// Allocates in the current memory context, which is the hook's.
void load_hook(HookSet* set, Hook* hook, int row, WhispererEngine* engine, const Hook* before);

}  // namespace whisperer::pg
