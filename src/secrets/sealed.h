// Secrets as they are stored: sealed if there is a key file, else as they are.  What is sealed and
// how is the engine's business (worker/base/sealed.h); here is which keys, and what to do without
// them.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

// The columns of whisperer.secret that may be sealed; each name is part of what its value is
// sealed with.
inline constexpr const char* secret_key_column = "secret_key";
inline constexpr const char* previous_secret_column = "previous_secret_key";
inline constexpr const char* headers_column = "additional_headers";
inline constexpr const char* auth_column = "auth";

// The UTF-8 of a stored value, in the current context; of one that is not sealed, stored itself.
// False: it cannot be opened, and *error says why.
bool open_stored(int64 hook_id, const char* column, WhispererSpan stored, WhispererSpan* plain,
                 WhispererError* error);

}  // namespace whisperer::pg
