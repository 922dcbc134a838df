// Keeping the list of databases; see database_list.h.  The launcher's alone.
#include "src/processes/database_list.h"

namespace whisperer::pg {

namespace {

KnownDatabase* databases = nullptr;
bool was_read = false;
uint64 completed_at_read = 0;

// What DROP DATABASE leaves that was interrupted: nobody can connect (DATCONNLIMIT_INVALID_DB of
// later minor releases).
constexpr int32 invalid_connection_limit = -2;

void note_database(Form_pg_database form) {
    if (!form->datallowconn || form->datconnlimit == invalid_connection_limit)
        return;
    KnownDatabase* database = find_database(form->oid);
    if (database == nullptr) {
        database = (KnownDatabase*)MemoryContextAllocZero(TopMemoryContext, sizeof(KnownDatabase));
        database->oid = form->oid;
        database->next = databases;
        databases = database;
    }
    strlcpy(database->name, NameStr(form->datname), sizeof database->name);
    database->seen = true;
}

void drop_unseen() {
    KnownDatabase** link = &databases;
    while (*link) {
        KnownDatabase* database = *link;
        if (database->seen) {
            link = &database->next;
            continue;
        }
        *link = database->next;
        pfree(database);
    }
}

void read_databases() {
    MemoryContext caller = CurrentMemoryContext;
    StartTransactionCommand();
    (void)GetTransactionSnapshot();
    Relation relation = table_open(DatabaseRelationId, AccessShareLock);
    TableScanDesc scan = table_beginscan_catalog(relation, 0, nullptr);
    for (KnownDatabase* database = databases; database; database = database->next)
        database->seen = false;
    while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection))
        note_database((Form_pg_database)GETSTRUCT(tuple));
    table_endscan(scan);
    table_close(relation, AccessShareLock);
    CommitTransactionCommand();
    MemoryContextSwitchTo(caller);
    drop_unseen();
}

}  // namespace

void refresh_databases() {
    uint64 completed = pg_transactions_completed();
    if (was_read && completed == completed_at_read)
        return;
    read_databases();
    completed_at_read = completed;
    was_read = true;
}

KnownDatabase* first_database() {
    return databases;
}

KnownDatabase* find_database(Oid oid) {
    for (KnownDatabase* database = databases; database; database = database->next)
        if (database->oid == oid)
            return database;
    return nullptr;
}

void look_again_at(KnownDatabase* database) {
    if (database->extension == ExtensionKnown::Absent)
        database->extension = ExtensionKnown::Unknown;
    database->announced_at = steady_now();
}

void look_again_at_all() {
    for (KnownDatabase* database = databases; database; database = database->next)
        look_again_at(database);
}

}  // namespace whisperer::pg
