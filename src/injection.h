// Named points at which a test can stop the worker: whisperer.hold_at = '<point>', then a reload.
//
//   before-page-snapshot  after-page-snapshot  after-hooks-loaded
//   after-post (an outcome was taken, the ledger not written)   after-ledger (before the bookmark)
#pragma once

namespace whisperer::pg {

// Waits here while the setting names this point.  pg_stat_activity shows "held at <point>".
void hold_at(const char* point);

}  // namespace whisperer::pg
