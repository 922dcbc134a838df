\echo Use "ALTER EXTENSION whisperer UPDATE" to load this file. \quit

-- The search_path for the whole script: nothing of the schema is found without its name.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

