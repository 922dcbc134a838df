// Comparing what must not be guessed byte by byte.
#include "src/pg.h"

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_same_bytes);

PGDLLEXPORT Datum whisperer_same_bytes(PG_FUNCTION_ARGS) {
    bytea* one = PG_GETARG_BYTEA_PP(0);
    bytea* other = PG_GETARG_BYTEA_PP(1);
    if (VARSIZE_ANY_EXHDR(one) != VARSIZE_ANY_EXHDR(other))
        PG_RETURN_BOOL(false);
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < VARSIZE_ANY_EXHDR(one); i++)
        difference = difference | (VARDATA_ANY(one)[i] ^ VARDATA_ANY(other)[i]);
    PG_RETURN_BOOL(difference == 0);
}
}
