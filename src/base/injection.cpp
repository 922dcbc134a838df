// Injection points; see injection.h.  Part of every build, so that what is tested is what is
// shipped; unused, a point costs one comparison.
#include "src/base/injection.h"

#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

void hold_at(const char* point) {
    if (settings.hold_at[0] == '\0' || strcmp(settings.hold_at, point) != 0)
        return;
    char activity[64];
    snprintf(activity, sizeof activity, "held at %s", point);
    pgstat_report_activity(STATE_RUNNING, activity);
    while (strcmp(settings.hold_at, point) == 0) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
    }
}

}  // namespace whisperer::pg
