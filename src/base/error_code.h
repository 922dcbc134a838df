// Kinds of errors, and their numbers as statements have them: those compare the column error_code
// with a number, and never the words of error.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

#define CODE_RATE_LIMIT "1"
#define CODE_CIRCUIT_OPEN "2"
#define CODE_ENDPOINT_BUSY "3"
#define CODE_AWAITS_TOKEN "4"
#define CODE_OUTRANKED "5"
#define CODE_NOT_ALLOWED "10"
#define CODE_TRANSFORM_FAILED "20"
#define CODE_SCHEMA_REFUSED "21"
#define CODE_CANCELLED "31"
#define CODE_HOOK_DELETED "32"

namespace whisperer::pg {

constexpr bool is_number(const char* digits, int number) {
    int value = 0;
    for (; *digits != '\0'; digits++)
        value = 10 * value + (*digits - '0');
    return value == number;
}
static_assert(is_number(CODE_RATE_LIMIT, WhispererErrorRateLimit));
static_assert(is_number(CODE_CIRCUIT_OPEN, WhispererErrorCircuitOpen));
static_assert(is_number(CODE_ENDPOINT_BUSY, WhispererErrorEndpointBusy));
static_assert(is_number(CODE_AWAITS_TOKEN, WhispererErrorAwaitsToken));
static_assert(is_number(CODE_OUTRANKED, WhispererErrorOutranked));
static_assert(is_number(CODE_NOT_ALLOWED, WhispererErrorNotAllowed));
static_assert(is_number(CODE_TRANSFORM_FAILED, WhispererErrorTransform));
static_assert(is_number(CODE_SCHEMA_REFUSED, WhispererErrorSchema));
static_assert(is_number(CODE_CANCELLED, WhispererErrorCancelled));
static_assert(is_number(CODE_HOOK_DELETED, WhispererErrorHookDeleted));

// Why a delivery goes no further; false: it does.
struct DeliveryError {
    const char* text;
    WhispererErrorCode code;

    explicit operator bool() const { return text != nullptr; }
};

}  // namespace whisperer::pg
