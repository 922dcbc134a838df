-- Last: at commit the launcher hears of this database.  The function is made before 900-access, which
-- takes it from PUBLIC.
SELECT whisperer_internal.announce();
