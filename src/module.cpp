// What PostgreSQL calls when it loads the library.  Nothing here connects, allocates or starts
// anything by itself: it only says what is to be there.
#include "src/api/write_hint.h"
#include "src/pg.h"
#include "src/processes/launcher.h"
#include "src/processes/shared_state.h"
#include "src/processes/utility_hook.h"
#include "src/record/context.h"
#include "src/record/trigger_check.h"
#include "src/settings.h"

extern "C" {

#ifdef PG_MODULE_MAGIC_EXT  // since PostgreSQL 18: pg_get_loaded_modules()
PG_MODULE_MAGIC_EXT(.name = "whisperer", .version = WHISPERER_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
    whisperer::pg::define_context();
    whisperer::pg::define_settings();
    if (!process_shared_preload_libraries_in_progress)
        return;
    whisperer::pg::request_shared_state();
    whisperer::pg::install_utility_hook();
    whisperer::pg::install_trigger_check();
    whisperer::pg::install_write_hint();
    // pg_upgrade's servers must not deliver: their rows are still being moved.
    if (!IsBinaryUpgrade)
        whisperer::pg::register_launcher();
}
}
