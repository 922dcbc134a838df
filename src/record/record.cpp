// Recording events.  The last privilege looked up is kept until a table of ours or any role
// membership changes.
#include "src/record/record.h"

#include "src/base/delivery.h"
#include "src/base/direct_insert.h"
#include "src/base/encoding.h"
#include "src/base/identity.h"
#include "src/base/owner_context.h"
#include "src/base/ring.h"
#include "src/base/transaction.h"
#include "src/record/event_keys.h"
#include "src/record/wakeup.h"

namespace whisperer::pg {

namespace {

// Rows of a statement are inserted in runs of this many, which bounds the memory they take.
constexpr int run_length = 1000;

struct Privilege {
    uint64 as_of;
    Oid role;
    bool allowed;
    bool registered;
    char event_type[event_type_bytes_max + 1];
};
Privilege last_privilege;

// As the install script creates the table.
enum OutboxColumn {
    OutboxId,
    OutboxEventType,
    OutboxData,
    OutboxSource,
    OutboxObjectId,
    OutboxConfigFilter,
    OutboxHookId,
    OutboxXid,
    OutboxIncarnation,
    OutboxCreatedAt,
    OutboxSlot,
    OutboxColumnCount,
    OutboxMeta = OutboxColumnCount  // the tables of 1.1 lack it
};

void set_pointer(TupleTableSlot* row, OutboxColumn column, const void* value) {
    set_column(row, column, PointerGetDatum(value), value == nullptr);
}

void insert_run(const Identity& identity, Datum event_type, text* source, Jsonb* config_filter,
                int64 for_whom, text* meta, const NewEvent* events, int count, int16 slot) {
    DirectInsert insert = begin_direct_insert(identity.partitions[slot], OutboxColumnCount, count);
    if (insert.desc->natts <= OutboxMeta)
        meta = nullptr;
    for (int i = 0; i < count; i++) {
        TupleTableSlot* row = add_direct_row(&insert);
        set_column(row, OutboxId, UUIDPGetDatum(&events[i].id));
        set_column(row, OutboxEventType, event_type);
        set_column(row, OutboxData, events[i].data);
        set_pointer(row, OutboxSource, source);
        set_pointer(row, OutboxObjectId, events[i].object_id);
        set_pointer(row, OutboxConfigFilter, config_filter);
        if (for_whom != for_all)
            set_column(row, OutboxHookId, Int64GetDatum(for_whom));
        set_column(row, OutboxXid, FullTransactionIdGetDatum(GetTopFullTransactionId()));
        set_column(row, OutboxIncarnation, Int64GetDatum(identity.incarnation));
        set_column(row, OutboxCreatedAt, TimestampTzGetDatum(GetCurrentTimestamp()));
        set_column(row, OutboxSlot, Int16GetDatum(slot));
        if (meta)
            set_pointer(row, OutboxMeta, meta);
    }
    end_direct_insert(&insert);
}

}  // namespace

void record_events(const char* event_type, text* source, Jsonb* config_filter, int64 for_whom,
                   const NewEvent* events, int count, const Said& said) {
    const Identity& identity = current_identity();
    Datum type = CStringGetTextDatum(event_type);
    text* meta = make_meta(said);
    int16 slot = current_slot();
    for (int done = 0; done < count; done += run_length)
        insert_run(identity, type, source, config_filter, for_whom, meta, events + done,
                   Min(run_length, count - done), slot);
    if (said.key)
        note_event_key(identity, slot, type, said, events[0].id);
    wake_workers_at_commit();
}

namespace {

// The rule of whisperer_internal.is_event_type_name, and that receivers can be told of it in UTF-8.
bool is_event_type_name(const char* event_type) {
    size_t length = strlen(event_type);
    if (length == 0 || length > event_type_bytes_max)
        return false;
    for (const char* c = event_type; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '\x7f' || *c == ',')
            return false;
    char last = event_type[length - 1];
    WhispererSpan utf8;
    return event_type[0] != ' ' && last != ' ' && last != '*' &&
           pg_mbstrlen(event_type) <= event_type_characters_max &&
           utf8_from_server(event_type, length, &utf8);
}

bool is_reserved(const char* event_type) {
    return strncmp(event_type, "whisperer-", 10) == 0;
}

}  // namespace

void check_event_type_name(const char* event_type) {
    if (!is_event_type_name(event_type))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("invalid event type name \"%s\"", event_type),
                errhint("Use 1 to %d characters without a comma or control character, without "
                        "space around them, and without * at the end.",
                        event_type_characters_max));
    if (is_reserved(event_type))
        ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                errmsg("event type \"%s\" is reserved for operator events", event_type),
                errhint("Choose a name that does not start with \"whisperer-\"."));
}

bool may_be_registered(const char* event_type) {
    return is_event_type_name(event_type) && !is_reserved(event_type);
}

bool may_publish(Oid role, const char* event_type, bool* registered) {
    // A copy: the look-up may hear that one of our tables changed.
    Identity identity = current_identity();
    Privilege& last = last_privilege;
    if (last.as_of != change_number() || last.role != role ||
        strcmp(last.event_type, event_type) != 0) {
        last.as_of = 0;
        uint64 as_of = change_number();
        Oid types[] = {OIDOID, TEXTOID};
        Datum values[] = {ObjectIdGetDatum(role), CStringGetTextDatum(event_type)};
        UserContext saved = enter_owner(identity.owner);
        // The statement's may be older than the change that was just heard of, or than a copy that
        // has taken a table's place: the locks come first.
        LockRelationOid(identity.event_type, AccessShareLock);
        LockRelationOid(identity.event_type_privilege, AccessShareLock);
        PushActiveSnapshot(GetLatestSnapshot());
        SPI_connect();
        if (run_query("SELECT whisperer.may($1, t.name, 'publish') FROM "
                      "whisperer.event_type t WHERE t.name OPERATOR(pg_catalog.=) $2",
                      2, types, values, nullptr, true, 1) != SPI_OK_SELECT)
            elog(ERROR, "could not look up event type \"%s\"", event_type);
        last.registered = SPI_processed == 1;
        bool is_null = false;
        last.allowed =
            !last.registered || (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
                                                            SPI_tuptable->tupdesc, 1, &is_null)) &&
                                 !is_null);
        SPI_finish();
        PopActiveSnapshot();
        leave_owner(saved);
        last.role = role;
        strlcpy(last.event_type, event_type, sizeof last.event_type);
        last.as_of = as_of;
    }
    *registered = last.registered;
    return last.allowed;
}

}  // namespace whisperer::pg
