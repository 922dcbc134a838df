-- Last: at commit the launcher hears of this database.
SELECT whisperer.announce();
