-- What each setting is and may be.  A bound that moves is an installation that does not start with its configuration.
SELECT name, vartype, unit, context, boot_val, coalesce(min_val || ' to ' || max_val, enumvals::text) AS may_be
FROM pg_settings WHERE name LIKE 'whisperer.%' ORDER BY name COLLATE "C";
