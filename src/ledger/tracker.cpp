// The table of deliveries in flight and the ring of pages; see tracker.h.
#include "src/ledger/tracker.h"

#include "src/base/delivery.h"

namespace whisperer::pg {

namespace {

void grow_entries(Tracker* tracker) {
    int capacity = tracker->capacity * 2;
    tracker->entries = (Inflight*)repalloc_huge(tracker->entries, sizeof(Inflight) * capacity);
    tracker->free_entries = (int*)repalloc_huge(tracker->free_entries, sizeof(int) * capacity);
    tracker->capacity = capacity;
}

Page* page_at(Tracker* tracker, int64 number) {
    return &tracker->pages[number % tracker->page_capacity];
}

void grow_pages(Tracker* tracker) {
    int capacity = tracker->page_capacity * 2;
    Page* pages = (Page*)MemoryContextAlloc(tracker->context, sizeof(Page) * capacity);
    for (int64 i = tracker->first_page; i < tracker->end_page; i++)
        pages[i % capacity] = *page_at(tracker, i);
    pfree(tracker->pages);
    tracker->pages = pages;
    tracker->page_capacity = capacity;
}

void set_done(Tracker* tracker, Place place) {
    retain(place.window);
    release(tracker->done.window);
    tracker->done = place;
    if (place.at_end)
        tracker->ticket_done = place.window->ticket;
}

// A page that is still open has no window yet, and nothing behind it can be done either.
void advance(Tracker* tracker) {
    while (tracker->first_page < tracker->end_page) {
        Page* page = page_at(tracker, tracker->first_page);
        if (page->outstanding > 0 || page->end.window == nullptr)
            return;
        set_done(tracker, page->end);
        tracker->rows_done += page->rows;
        release(page->end.window);
        tracker->first_page++;
    }
}

}  // namespace

Tracker* create_tracker(MemoryContext context, Place start) {
    MemoryContext caller = MemoryContextSwitchTo(context);
    Tracker* tracker = (Tracker*)palloc0(sizeof(Tracker));
    tracker->context = context;
    tracker->capacity = 1024;
    tracker->entries = (Inflight*)palloc(sizeof(Inflight) * tracker->capacity);
    tracker->free_entries = (int*)palloc(sizeof(int) * tracker->capacity);
    tracker->page_capacity = 64;
    tracker->pages = (Page*)palloc(sizeof(Page) * tracker->page_capacity);
    tracker->done = start;
    retain(start.window);
    tracker->with_row = create_delivery_keys(context, "whisperer rows in flight");
    MemoryContextSwitchTo(caller);
    return tracker;
}

uint64 track(Tracker* tracker, const Inflight& delivery) {
    if (tracker->free_count == 0 && tracker->used == tracker->capacity)
        grow_entries(tracker);
    int index =
        tracker->free_count > 0 ? tracker->free_entries[--tracker->free_count] : tracker->used++;
    tracker->entries[index] = delivery;
    tracker->entries[index].used = true;
    if (delivery.has_row)
        mark_row(tracker, &tracker->entries[index]);
    return (uint64)index + 1;
}

Inflight* tracked(Tracker* tracker, uint64 token) {
    if (token == 0 || token > (uint64)tracker->used || !tracker->entries[token - 1].used)
        elog(FATAL, "whisperer: the engine spoke of an unknown delivery " UINT64_FORMAT, token);
    return &tracker->entries[token - 1];
}

void mark_row(Tracker* tracker, Inflight* delivery) {
    delivery->has_row = true;
    find_delivery_key(tracker->with_row, delivery->event_id, delivery->hook_id, HASH_ENTER);
}

void untrack(Tracker* tracker, uint64 token) {
    Inflight* delivery = tracked(tracker, token);
    if (delivery->has_row)
        find_delivery_key(tracker->with_row, delivery->event_id, delivery->hook_id, HASH_REMOVE);
    delivery->used = false;
    tracker->free_entries[tracker->free_count++] = (int)(token - 1);
}

bool row_is_in_flight(Tracker* tracker, const pg_uuid_t& event_id, int64 hook_id) {
    return find_delivery_key(tracker->with_row, event_id, hook_id);
}

bool is_in_flight(const Tracker* tracker, const pg_uuid_t& event_id, int64 hook_id) {
    for (int i = 0; i < tracker->used; i++) {
        const Inflight& entry = tracker->entries[i];
        if (entry.used && entry.hook_id == hook_id &&
            memcmp(entry.event_id.data, event_id.data, UUID_LEN) == 0)
            return true;
    }
    return false;
}

int64 open_page(Tracker* tracker) {
    if (tracker->end_page - tracker->first_page == tracker->page_capacity)
        grow_pages(tracker);
    *page_at(tracker, tracker->end_page) = {};
    return tracker->end_page++;
}

void add_to_page(Tracker* tracker, int64 page) {
    page_at(tracker, page)->outstanding++;
}

void close_page(Tracker* tracker, int64 page, Place end, int64 rows) {
    retain(end.window);
    page_at(tracker, page)->rows = rows;
    page_at(tracker, page)->end = end;
    advance(tracker);
}

void settle(Tracker* tracker, int64 page) {
    if (page < 0)
        return;
    page_at(tracker, page)->outstanding--;
    advance(tracker);
}

bool is_settled(const Tracker* tracker, uint64 xid) {
    const Place& done = tracker->done;
    return visible_in(xid, done.at_end ? done.window->until : done.window->seen);
}

void retain(Window* window) {
    window->references++;
}

void release(Window* window) {
    if (--window->references > 0)
        return;
    free_snapshot(window->seen);
    free_snapshot(window->until);
    pfree(window);
}

}  // namespace whisperer::pg
