// What becomes of a page's rows: each event goes to the hooks that want it.
#pragma once

#include "src/base/error_code.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Hook;
struct Inflight;
struct Worker;

#define PAGE_COLUMNS \
    "id, xid, event_type, data, config_filter, created_at, hook_id, object_id, source, slot, meta"

enum PageColumn {
    PageId = 1,
    PageXid,
    PageEventType,
    PageData,
    PageConfigFilter,
    PageCreatedAt,
    PageHookId,
    PageObjectId,
    PageSource,
    PageSlot,
    PageMeta,
    PageColumnCount = PageMeta
};

// A ping is sent once, whatever comes of it.
constexpr const char* ping_event_type = "whisperer-ping";

// Why a delivery ends whose event is not to be sent any more.
constexpr DeliveryError expired = {"expired", WhispererErrorExpired};

// Notes what kind of event it is that goes out.
void note_event_type(Inflight* delivery, const char* event_type);

// The payload of an event as it is sent.  Returns why it cannot be sent; null: it can.  The span
// points into memory of the current context.
const char* read_payload(Datum data, WhispererSpan* utf8);

// Of the data of one page: meanwhile nobody looks at the sockets.
constexpr Size page_bytes_max = 4 * 1024 * 1024;

// Hands out the rows in order until the engine has no credit left, or there was that much data;
// moves the reader's place to the last row handled.  Returns how many were.  Called with the
// transaction open that read the rows: payloads are fetched one at a time.  duplicates: ids that go
// to nobody; null: there are none.
uint64 match_page(Worker* worker, int64 page, SPITupleTable* rows, uint64 count, HTAB* duplicates);

// Enters an event of another incarnation as pending for every hook that is being taken over and
// should have got it.  known: deliveries that the ledger has already; null: it has none.
void enter_carried(Worker* worker, SPITupleTable* rows, uint64 number, int64 incarnation,
                   HTAB* known);

// Whether an event that is no ping matches a hook, however old it is; enters it as pending unless
// the ledger has it.  For whom it was recorded does not count, but it must not be for another.
bool enter_replayed(Worker* worker, SPITupleTable* rows, uint64 number, int64 incarnation,
                    const Hook* hook, bool is_known);

}  // namespace whisperer::pg
