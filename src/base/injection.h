// Named points at which a test can stop the worker, or the process that empties a slot:
// whisperer.hold_at = '<point>', then a reload.
//
//   before-page-snapshot  after-page-snapshot  after-hooks-loaded
//   after-decisions       which events with an idempotency key are duplicates is decided
//   in-page               half of the page is handed out
//   after-post            an outcome was taken, the ledger not written
//   before-ledger-commit  results, and maybe the bookmark, are written
//   after-bookmark        the bookmark is committed, and other requests are under way
//   after-ledger          results are committed; no bookmark knows of them yet
//   between-stretches     retention is about to read some of a slot, with a snapshot of its own
#pragma once

namespace whisperer::pg {

// Waits here while the setting names this point.  pg_stat_activity shows "held at <point>".
void hold_at(const char* point);

}  // namespace whisperer::pg
