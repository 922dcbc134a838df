// The keys that secrets are sealed with: the file that whisperer.secret_key_file names.
//
// Every use looks whether the file is still the one that was read, so no process goes on with keys
// that were taken away, or seals with one that is no longer the first.  The keys are in the memory
// of processes that used them and nowhere in the database.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct KeyFile {
    bool is_named;         // by the setting; else secrets are stored as they are
    WhispererSpan keys;    // its text, until the next call of key_file
    WhispererError error;  // message not empty: it cannot be used, keys is empty
};

// Never an ERROR for what is wrong with the file; its path and content are in no message, because
// owners of hooks see them.  In a transaction.
const KeyFile& key_file();

}  // namespace whisperer::pg
