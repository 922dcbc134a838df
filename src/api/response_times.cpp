// Counts of requests by response time, as hook_minute has them: added up, and asked for a
// percentile.  A page of hook_stats adds thousands of rows; a query that takes each apart took four
// fifths of its time.
#include <cmath>

#include "src/pg.h"

namespace whisperer::pg {

namespace {

constexpr double least_s = 0.0001;

// integer[], as hook_minute has them, or bigint[]; without a null, as the worker writes them.
ArrayType* counts_argument(FunctionCallInfo fcinfo, int number) {
    ArrayType* counts = PG_GETARG_ARRAYTYPE_P(number);
    Oid type = ARR_ELEMTYPE(counts);
    if ((type != INT4OID && type != INT8OID) || array_contains_nulls(counts))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("counts by response time must be integers, and not null"));
    return counts;
}

int length_of(ArrayType* counts) {
    return ArrayGetNItems(ARR_NDIM(counts), ARR_DIMS(counts));
}

int64* elements_of(ArrayType* counts) {
    return (int64*)ARR_DATA_PTR(counts);
}

ArrayType* zeros(int length) {
    Datum* elements = (Datum*)palloc0(sizeof(Datum) * Max(length, 1));
    return construct_array(elements, length, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE);
}

template <typename Count>
void add(int64* sums, const Count* counts, int length) {
    for (int i = 0; i < length; i++)
        if (pg_add_s64_overflow(sums[i], counts[i], &sums[i]))
            ereport(ERROR, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                    errmsg("bigint out of range"));
}

void add(ArrayType* sums, ArrayType* counts) {
    const void* data = ARR_DATA_PTR(counts);
    if (ARR_ELEMTYPE(counts) == INT4OID)
        add(elements_of(sums), (const int32*)data, length_of(counts));
    else
        add(elements_of(sums), (const int64*)data, length_of(counts));
}

}  // namespace

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_add_counts);
PG_FUNCTION_INFO_V1(whisperer_response_time_at);

// (sums bigint[], counts anyarray) -> bigint[]: of an aggregate, whose state nobody else sees; its
// rows may be of different lengths.
PGDLLEXPORT Datum whisperer_add_counts(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    if (AggCheckCallContext(fcinfo, nullptr) != AGG_CONTEXT_AGGREGATE)
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("counts by response time are added by an aggregate alone"));
    ArrayType* sums = PG_ARGISNULL(0) ? nullptr : PG_GETARG_ARRAYTYPE_P(0);
    if (!PG_ARGISNULL(1)) {
        ArrayType* counts = counts_argument(fcinfo, 1);
        if (sums == nullptr || length_of(sums) < length_of(counts)) {
            ArrayType* longer = zeros(length_of(counts));
            if (sums != nullptr)
                add(longer, sums);
            sums = longer;
        }
        add(sums, counts);
    }
    if (sums == nullptr)
        PG_RETURN_NULL();
    PG_RETURN_ARRAYTYPE_P(sums);
}

// (counts bigint[], fraction double precision) -> interval.  Within an element requests are taken
// to be spread evenly over the logarithm of time.
PGDLLEXPORT Datum whisperer_response_time_at(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    ArrayType* counts = counts_argument(fcinfo, 0);
    const int64* count = elements_of(counts);
    double wanted = 0;
    for (int i = 0; i < length_of(counts); i++)
        wanted += (double)count[i];
    wanted *= PG_GETARG_FLOAT8(1);
    double before = 0;
    for (int i = 0; i < length_of(counts); i++) {
        if (count[i] > 0 && before + (double)count[i] >= wanted) {
            double place = i + (wanted - before) / (double)count[i];
            double us = std::rint(least_s * std::pow(2, place / 2) * USECS_PER_SEC);
            // The worker has 48 counts, which end at half an hour; others may ask for more.
            if (!FLOAT8_FITS_IN_INT64(us))
                ereport(ERROR, errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
                        errmsg("interval out of range"));
            Interval* time = (Interval*)palloc0(sizeof(Interval));
            time->time = (TimeOffset)us;
            PG_RETURN_INTERVAL_P(time);
        }
        before += (double)count[i];
    }
    PG_RETURN_NULL();
}

}  // extern "C"
