// From rows of the outbox to deliveries.  Nothing here may raise an ERROR because of what is in an
// event: one bad row must not stop the page.
#include "src/read/page_match.h"

#include "src/base/delivery.h"
#include "src/base/encoding.h"
#include "src/base/event_facts.h"
#include "src/base/identity.h"
#include "src/base/injection.h"
#include "src/base/json_text.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/functions/answer.h"
#include "src/hooks/formats.h"
#include "src/hooks/hook_set.h"
#include "src/hooks/hook_types.h"
#include "src/ledger/ledger.h"
#include "src/ledger/submit.h"
#include "src/ledger/tracker.h"
#include "src/read/key_decisions.h"
#include "src/read/outbox_reader.h"
#include "src/read/register_types.h"
#include "src/read/schema_check.h"
#include "src/record/record.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

struct Row {
    Datum columns[PageColumnCount + 1];  // by PageColumn; (Datum)0 where one is null
    pg_uuid_t id;
    uint64 xid;
    int16 slot;
    int64 only_hook;  // 0: for all that want it
    Oid recorder;     // whose table recorded a type that nobody had registered; 0: it had been
    char* event_type;
    char* object_id;
    DeliveryError refusal;  // why it can be sent to nobody
    bool is_checked;        // against the schema of its type
    EventTimes times;
    WhispererSpan data;
    WhispererDocument* document;  // the data, once a filter asked
    WhispererSpan config_filter;
};

Datum row_column(const Row& row, PageColumn column) {
    return row.columns[column];
}

// A role of another database is nobody here.
void read_for_whom(Row* row, bool is_carried) {
    int64 for_whom = DatumGetInt64(row_column(*row, PageHookId));
    Oid recorder = members_of(for_whom);
    if (!OidIsValid(recorder))
        row->only_hook = for_whom;
    else if (!is_carried)
        row->recorder = recorder;
}

// The columns that say whose event it is; cheap, for every row.
void read_key(Row* row) {
    row->id = *DatumGetUUIDP(row_column(*row, PageId));
    row->xid = DatumGetUInt64(row_column(*row, PageXid));
    row->slot = DatumGetInt16(row_column(*row, PageSlot));
    row->event_type = TextDatumGetCString(row_column(*row, PageEventType));
    Datum object_id = row_column(*row, PageObjectId);
    row->object_id = object_id ? TextDatumGetCString(object_id) : nullptr;
    Datum filter = row_column(*row, PageConfigFilter);
    if (filter && toast_raw_datum_size(filter) - VARHDRSZ > (Size)settings.max_payload_bytes) {
        row->refusal.text = "config_filter is larger than whisperer.max_payload";
    } else if (filter) {
        char* json = DatumGetCString(DirectFunctionCall1(jsonb_out, filter));
        if (!utf8_from_server(json, strlen(json), &row->config_filter))
            row->refusal.text = "config_filter cannot be converted to UTF-8";
    }
}

Datum data_of(const Row& row) {
    return row_column(row, PageData);
}

// Nobody gets it any more: what a filter would say of it cannot be known.
bool is_expunged(const Row& row) {
    return data_of(row) == (Datum)0;
}

EventFacts row_facts(const Row& row, const char* format, int32 metadata) {
    return facts_of(format, metadata, DatumGetTimestampTz(row_column(row, PageCreatedAt)),
                    row_column(row, PageSource), row_column(row, PageObjectId),
                    row_column(row, PageMeta));
}

// The payload, once somebody wants it.
void read_data(Row* row) {
    row->times = times_of(row_facts(*row, nullptr, 0).meta);
    if (!row->refusal)
        row->refusal.text = read_payload(data_of(*row), &row->data);
}

// After the last hook; an ERROR before that ends the process.
void forget_document(Row* row) {
    whisperer_document_destroy(row->document);
    row->document = nullptr;
}

enum class Match { No, Yes, Undecided };

// An event is not refused, nor passed over, for want of memory: the worker begins again.
int told(int answer) {
    if (answer < -1)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY),
                errmsg("whisperer: out of memory while a filter was compared"),
                errhint("Raise whisperer.worker_memory."));
    return answer;
}

// What the hook says of the event itself.
Match matches(const Hook& hook, Row* row) {
    if (row->config_filter.size > 0 &&
        told(whisperer_json_contains(hook.config, row->config_filter, filter_steps_max)) != 1)
        return Match::No;
    if (!hook.has_filter || row->refusal || strcmp(row->event_type, ping_event_type) == 0)
        return Match::Yes;
    if (hook.filter_text.size > 0) {
        int answer = told(whisperer_json_matches(row->data, hook.filter_text, filter_steps_max));
        return answer < 0 ? Match::Undecided : answer == 1 ? Match::Yes : Match::No;
    }
    if (row->document == nullptr &&
        whisperer_document_create(row->data, filter_steps_max, &row->document, nullptr) !=
            WhispererOk)
        (void)told(-2);
    int answer = told(whisperer_document_matches(row->document, hook.filter));
    return answer < 0 ? Match::Undecided : answer == 1 ? Match::Yes : Match::No;
}

// Committed when the hook was made, so not for it, unless it was recorded for it alone.
bool is_too_old(const Row& row, const Hook& hook) {
    return row.only_hook == 0 && hook.since && visible_in(row.xid, hook.since);
}

// Operator events are the database's own in which they were recorded.
bool is_of_another_node(const Row& row, const Hook& hook) {
    return !has_turn(hook, row.xid) && (strncmp(row.event_type, "whisperer-", 10) != 0 ||
                                        strcmp(row.event_type, ping_event_type) == 0);
}

// Why a delivery ends before its first attempt, if it does.  The first hook that wants the event
// has it compared with its type's schema, once for all.
DeliveryError refusal(Worker* worker, Row* row, Match match) {
    if (row->refusal)
        return row->refusal;
    if (match == Match::Undecided)
        return {"filter could not be evaluated within its limits", WhispererErrorNone};
    if (is_past(row->times.expires_at))
        return expired;
    if (!row->is_checked)
        row->refusal = schema_refusal(worker, row->event_type, row->data);
    row->is_checked = true;
    return row->refusal;
}

// Another worker was past it when hooks were dealt anew.  To deliver it all on the way would keep
// those waiting whose worker had kept up.
bool was_left_behind(const Reader* reader, const Row& row) {
    return reader->ahead && visible_in(row.xid, reader->ahead);
}

Inflight delivery_of(const Row& row, const Hook& hook, int64 page) {
    Inflight delivery = {};
    delivery.event_id = row.id;
    delivery.hook_id = hook.id;
    delivery.xid = row.xid;
    delivery.slot = row.slot;
    note_event_type(&delivery, row.event_type);
    if (!delivery.once)
        delivery.line = line_of(hook.ordering, row.object_id);
    delivery.lacks_key =
        !delivery.once && hook.ordering == Ordering::Key && row.object_id == nullptr;
    // One that is to be sent later stands in no line, or it would hold up those after it.
    if (row.times.deliver_at != 0 && !is_past(row.times.deliver_at)) {
        delivery.deliver_at = row.times.deliver_at;
        delivery.line = 0;
    }
    delivery.page = page;
    return delivery;
}

// Brings those of the first one's format to the front.  Returns how many there are.
int of_one_format(WhispererDelivery* deliveries, const char** formats, int count) {
    int same = 1;
    for (int i = 1; i < count; i++) {
        bool is_same = formats[i] == formats[0] ||
                       (formats[i] && formats[0] && strcmp(formats[i], formats[0]) == 0);
        if (!is_same)
            continue;
        std::swap(deliveries[i], deliveries[same]);
        std::swap(formats[i], formats[same]);
        same++;
    }
    return same;
}

// Each format makes one event of the row.  metadata: what any of the hooks says in headers.
void submit_row(Worker* worker, const Row& row, WhispererDelivery* deliveries, const char** formats,
                int count, int32 metadata) {
    WhispererEvent event = {};
    memcpy(event.id, row.id.data, sizeof event.id);
    event.type = utf8_of_name(row.event_type);
    event.data = row.data;
    event.alone = row.only_hook != 0;
    for (int first = 0; first < count;) {
        int same = of_one_format(deliveries + first, formats + first, count - first);
        WhispererEvent formatted = event;
        add_facts(&formatted, row_facts(row, formats[first], metadata));
        submit(worker, formatted, deliveries + first, same);
        first += same;
    }
}

// known: deliveries of the page that the ledger has already; null: it has none.
int match_row(Worker* worker, int64 page, Row* row, const TypeEntry* wanted, HTAB* known) {
    WhispererDelivery* deliveries =
        (WhispererDelivery*)palloc(sizeof(WhispererDelivery) * wanted->count);
    const char** formats = (const char**)palloc(sizeof(char*) * wanted->count);
    int submitted = 0, matched = 0;
    int32 metadata = 0;
    read_data(row);
    for (int i = 0; i < wanted->count; i++) {
        Hook& hook = *wanted->hooks[i];
        if (is_too_old(*row, hook) || is_of_another_node(*row, hook))
            continue;
        Match match = matches(hook, row);
        if (match == Match::No || (known && find_delivery_key(known, row->id, hook.id)))
            continue;
        matched++;
        Inflight delivery = delivery_of(*row, hook, page);
        add_to_page(worker->tracker, page);
        DeliveryError error = refusal(worker, row, match);
        const char* format = format_for(worker->hooks, hook, row->xid, 0);
        if (error)
            add_unsent(worker->ledger, worker->hooks, delivery, DeliveryState::Failed, error);
        else if (!hook.runnable || delivery.line != 0 || delivery.deliver_at != 0 ||
                 (!delivery.once &&
                  (was_left_behind(worker->reader, *row) || has_used_share(worker, &hook))))
            add_unsent(worker->ledger, worker->hooks, delivery, DeliveryState::Pending);
        else if (hook.transform && !delivery.once)
            transform_delivery(worker, hook, delivery, row->event_type, data_of(*row),
                               row_facts(*row, format, hook.metadata));
        else {
            formats[submitted] = format;
            metadata |= hook.metadata;
            deliveries[submitted++] = {track(worker->tracker, delivery), hook.id, 0, 0};
        }
    }
    forget_document(row);
    if (submitted > 0 && row->only_hook != 0 && strcmp(row->event_type, ping_event_type) == 0)
        (void)whisperer_engine_probe_hook(worker->engine, row->only_hook);
    submit_row(worker, *row, deliveries, formats, submitted, metadata);
    return matched;
}

// Whether the event had been committed when the hook was made.  Snapshots of two databases cannot
// be compared: an event of a later one is new to the hook, one of an earlier one is old, and which
// is which the clock says.
bool is_older(const Row& row, int64 incarnation, const CarriedHook& hook) {
    if (incarnation == hook.incarnation)
        return visible_in(row.xid, hook.since);
    return DatumGetTimestampTz(row_column(row, PageCreatedAt)) <= hook.created_at;
}

// Deliveries that an earlier process of this worker has entered already.
HTAB* known_deliveries(const Worker* worker, SPITupleTable* rows, uint64 count) {
    Datum* ids = (Datum*)palloc(sizeof(Datum) * count);
    int asked = 0;
    for (uint64 i = 0; i < count; i++) {
        Datum xid = rows_column(rows, i, PageXid);
        if (DatumGetUInt64(xid) < worker->reader->ledger_may_have)
            ids[asked++] = rows_column(rows, i, PageId);
    }
    return asked > 0 ? rows_of_events(ids, asked) : nullptr;
}

// Whether it is this database that has to deliver the event to one of those who want it.  What
// their filters say of it is asked when it is delivered.
bool is_due_here(const Row& row, const TypeEntry* wanted, HTAB* known) {
    for (int i = 0; i < wanted->count; i++) {
        const Hook& hook = *wanted->hooks[i];
        if (!is_too_old(row, hook) && !is_of_another_node(row, hook) &&
            !(known && find_delivery_key(known, row.id, hook.id)))
            return true;
    }
    return false;
}

// An event that was recorded for one hook alone has been allowed by whoever recorded it.
const TypeEntry* wanted_by(Worker* worker, const Row& row) {
    bound_types(worker->hooks);
    if (row.only_hook != 0) {
        static TypeEntry only = {};
        static Hook* hook;
        hook = find_hook(worker->hooks, row.only_hook);
        only.count = hook ? 1 : 0;
        only.hooks = &hook;
        return &only;
    }
    const TypeEntry* wanted = hooks_for(worker->hooks, row.event_type, row.recorder);
    if (!wanted->registered && OidIsValid(row.recorder))
        note_unregistered(worker, row.event_type, row.recorder);
    return wanted;
}

// Enters the row as pending for the hook, due at once or when its turn in line comes.
void enter_row(Worker* worker, Row* row, const Hook& hook, Match match, int64 incarnation) {
    DeliveryError error = refusal(worker, row, match);
    Inflight delivery = delivery_of(*row, hook, -1);
    delivery.incarnation = incarnation == my_incarnation() ? 0 : incarnation;
    add_unsent(worker->ledger, worker->hooks, delivery,
               error ? DeliveryState::Failed : DeliveryState::Pending, error);
}

// What the hook is subscribed to.  A ping is no news the second time.
bool may_be_replayed(Worker* worker, const Row& row, const Hook* hook) {
    bound_types(worker->hooks);
    if (strcmp(row.event_type, ping_event_type) == 0 ||
        (row.only_hook != 0 && row.only_hook != hook->id))
        return false;
    const TypeEntry* wanted = hooks_for(worker->hooks, row.event_type, row.recorder);
    for (int i = 0; i < wanted->count; i++)
        if (wanted->hooks[i] == hook)
            return true;
    return false;
}

Row row_at(SPITupleTable* rows, uint64 number, bool is_carried) {
    Row row = {};
    for (int column = 1; column <= PageColumnCount; column++)
        row.columns[column] = rows_column(rows, number, column);
    read_for_whom(&row, is_carried);
    read_key(&row);
    return row;
}

}  // namespace

void note_event_type(Inflight* delivery, const char* event_type) {
    delivery->once = strcmp(event_type, ping_event_type) == 0;
    delivery->is_operator_event = strncmp(event_type, "whisperer-", 10) == 0;
}

const char* read_payload(Datum data, WhispererSpan* utf8) {
    if (toast_raw_datum_size(data) - VARHDRSZ > (Size)settings.max_payload_bytes)
        return "payload is larger than whisperer.max_payload";
    text* json = DatumGetTextPP(data);
    if (!utf8_from_server(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), utf8))
        return "payload cannot be converted to UTF-8";
    return problem_of(*utf8);
}

uint64 match_page(Worker* worker, int64 page, SPITupleTable* rows, uint64 count, HTAB* duplicates) {
    Reader* reader = worker->reader;
    HTAB* known = known_deliveries(worker, rows, count);
    MemoryContext caller = MemoryContextSwitchTo(reader->row_context);
    uint64 handled = 0;
    Size bytes = 0;
    reader->awaits_resume = false;
    while (handled < count && (handled == 0 || (bytes < page_bytes_max && has_credit(worker)))) {
        Row row = row_at(rows, handled, false);
        const TypeEntry* wanted = wanted_by(worker, row);
        bool is_wanted =
            wanted->count > 0 && !is_duplicate(duplicates, row.id) && !is_expunged(row);
        if (worker->hooks->delivery_paused && is_wanted && is_due_here(row, wanted, known)) {
            reader->awaits_resume = true;
            break;
        }
        int matched = is_wanted ? match_row(worker, page, &row, wanted, known) : 0;
        Size taken = matched > 0 ? row.data.size : 0;
        bytes += taken;
        reader->deliveries_per_event += (matched - reader->deliveries_per_event) / 64;
        reader->bytes_per_event += ((double)taken - reader->bytes_per_event) / 64;
        reader->xid = row.xid;
        reader->id = row.id;
        handled++;
        reader->last_row_at = DatumGetTimestampTz(row_column(row, PageCreatedAt));
        MemoryContextReset(reader->row_context);
        if (handled == (count + 1) / 2)
            hold_at("in-page");
    }
    MemoryContextSwitchTo(caller);
    return handled;
}

void enter_carried(Worker* worker, SPITupleTable* rows, uint64 number, int64 incarnation,
                   HTAB* known) {
    MemoryContext caller = MemoryContextSwitchTo(worker->reader->row_context);
    Row row = row_at(rows, number, incarnation != my_incarnation());
    const TypeEntry* wanted = wanted_by(worker, row);
    int wanted_count = is_expunged(row) ? 0 : wanted->count;
    if (wanted_count > 0)
        read_data(&row);
    for (int i = 0; i < wanted_count; i++) {
        const Hook& hook = *wanted->hooks[i];
        if (!hook.run->in_scan || is_older(row, incarnation, *hook.carried) ||
            (known && find_delivery_key(known, row.id, hook.id)))
            continue;
        Match match = matches(hook, &row);
        if (match != Match::No)
            enter_row(worker, &row, hook, match, incarnation);
    }
    forget_document(&row);
    MemoryContextReset(worker->reader->row_context);
    MemoryContextSwitchTo(caller);
}

bool enter_replayed(Worker* worker, SPITupleTable* rows, uint64 number, int64 incarnation,
                    const Hook* hook, bool is_known) {
    MemoryContext caller = MemoryContextSwitchTo(worker->reader->row_context);
    Row row = row_at(rows, number, incarnation != my_incarnation());
    Match match = Match::No;
    if (!is_expunged(row) && may_be_replayed(worker, row, hook)) {
        read_data(&row);
        match = matches(*hook, &row);
    }
    if (match != Match::No && !is_known)
        enter_row(worker, &row, *hook, match, incarnation);
    forget_document(&row);
    MemoryContextReset(worker->reader->row_context);
    MemoryContextSwitchTo(caller);
    return match != Match::No;
}

}  // namespace whisperer::pg
