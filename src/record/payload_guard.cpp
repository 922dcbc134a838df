// on_error=record: a payload that cannot be made costs its event, not the write.
//
// Each event is made in a subtransaction, so that what a serializer had done when it failed is
// undone.  The event is then recorded outside of it, with the error as its data and the row's key;
// data of that kind is sent to nobody (src/base/json_text.h), so that no receiver gets a body that
// is none.
#include "src/record/payload.h"
#include "src/base/boundary.h"
#include "src/base/event_id.h"
#include "src/base/json_text.h"

namespace whisperer::pg {

namespace {

struct Making {
    const PayloadMaker* maker;
    HeapTuple row;
    HeapTuple old_row;
    bool is_update;
    NewEvent* event;
    bool is_wanted;
};

void make_all(void* argument) {
    Making* making = (Making*)argument;
    making->is_wanted = make_whole_event(*making->maker, making->row, making->old_row,
                                         making->is_update, making->event);
}

void make_key(void* argument) {
    Making* making = (Making*)argument;
    making->event->object_id = key_of_stored_row(*making->maker, making->row);
}

// Once a transaction, so that the server's log has what the trigger's owner needs.
void warn_of_error(const CaptureOptions& options, const ErrorData* error) {
    if (is_warned(options))
        return;
    ereport(WARNING, errcode(error->sqlerrcode),
            errmsg("an event of type \"%s\" is recorded without its data: %s", options.event_type,
                   error->message),
            error->context ? errdetail("In: %s", error->context) : 0,
            errhint("Its deliveries fail with this error. Mend what makes the data, and record it "
                    "anew with whisperer.backfill or deliver_event."));
}

}  // namespace

bool make_event(const PayloadMaker& maker, HeapTuple row, HeapTuple old_row, bool is_update,
                NewEvent* event) {
    if (!maker.options->records_errors)
        return make_whole_event(maker, row, old_row, is_update, event);
    Making making = {&maker, row, old_row, is_update, event, false};
    ErrorData* error = error_in_subtransaction(make_all, &making);
    if (error == nullptr)
        return making.is_wanted;
    forget_statement(maker);
    *event = {};
    event->id = make_event_id();
    event->data = data_with_problem(psprintf("the data of the row could not be made: %s (%s)",
                                             error->message, unpack_sql_state(error->sqlerrcode)));
    ErrorData* key_error = error_in_subtransaction(make_key, &making);
    if (key_error)
        FreeErrorData(key_error);
    warn_of_error(*maker.options, error);
    FreeErrorData(error);
    return true;
}

}  // namespace whisperer::pg
