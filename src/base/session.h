// What every process of ours that is connected to a database sets first, and what shapes values.
#pragma once

namespace whisperer::pg {

struct PinnedSetting {
    const char* name;
    const char* value;
};

// What values look like as text: so that it depends on the values alone.
inline constexpr PinnedSetting value_settings[] = {
    {"TimeZone", "UTC"},     {"DateStyle", "ISO"},        {"IntervalStyle", "postgres"},
    {"bytea_output", "hex"}, {"extra_float_digits", "1"},
};

// Pins the settings that postgresql.conf, the database or a role may have set for people. To be
// called before the connection is made: PostgreSQL makes it in a transaction, which the settings
// shall hold for, and what it then finds for the database and the role does not replace them.
void pin_session();

// The same for the process that runs people's functions.
void pin_session_of_functions();

}  // namespace whisperer::pg
