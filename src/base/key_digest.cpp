// See key_digest.h.
#include "src/base/key_digest.h"

namespace whisperer::pg {

text* key_digest(WhispererSpan key) {
    text* bytes = cstring_to_text_with_len(key.data, (int)key.size);
    Datum digest = DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes));
    return DatumGetTextPP(DirectFunctionCall2(binary_encode, digest, CStringGetTextDatum("hex")));
}

}  // namespace whisperer::pg
