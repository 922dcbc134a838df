// Capture triggers are checked where somebody looks: when they are made, and when what they name
// changes.  A writer who can do nothing about it then does not meet the mistake.
//
// Checked at CREATE TRIGGER, ALTER TABLE (DROP COLUMN, OWNER TO, NO INHERIT and DETACH PARTITION),
// ALTER TYPE of an attribute, RENAME, SET SCHEMA and REASSIGN OWNED; an ERROR undoes the statement.
// GRANT, REVOKE and CREATE TRIGGER warn of who may write but not call a serializer.
// A serializer cannot be dropped without its triggers, as PostgreSQL's own dependencies have it.
#pragma once

namespace whisperer::pg {

void install_trigger_check();

}  // namespace whisperer::pg
