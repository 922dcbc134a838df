-- Counts by response time: added up, and asked for a percentile.
CREATE FUNCTION pg_temp.by_formula(counts bigint[], fraction double precision) RETURNS interval LANGUAGE sql AS $$
    SELECT make_interval(secs => 0.0001 * power(2.0::float8, (b.number - 1 + (fraction * b.total - (b.up_to - b.count)) / b.count)::float8 / 2))
    FROM (SELECT c.number, c.count, sum(c.count) OVER (ORDER BY c.number) AS up_to, sum(c.count) OVER () AS total
          FROM unnest(counts) WITH ORDINALITY AS c (count, number)) AS b
    WHERE b.count > 0 AND b.up_to >= fraction * b.total ORDER BY b.number LIMIT 1 $$;
CREATE TEMP TABLE tried AS SELECT counts::bigint[] FROM (VALUES ('{}'), ('{0,0,0}'), ('{1}'), ('{0,0,7}'), ('{5,0,0,5}'), ('{1,2,3,4,5,6,7,8}')) AS t (counts)
UNION ALL SELECT array_agg((x * 7919 * n) % 31) FROM generate_series(1, 5) n, generate_series(1, 48) x GROUP BY n;
SELECT counts, fraction, whisperer.response_time_at(counts, fraction) AS is, pg_temp.by_formula(counts, fraction) AS should_be
FROM tried, unnest('{0,0.01,0.5,0.95,1}'::float8[]) fraction
WHERE whisperer.response_time_at(counts, fraction) IS DISTINCT FROM pg_temp.by_formula(counts, fraction);
SELECT whisperer.response_time_at('{0,0,7}', 0.5), whisperer.response_time_at('{5,0,0,5}', 0.95), whisperer.response_time_at('{1}', 2), whisperer.response_time_at('{}', 0.5), whisperer.response_time_at(NULL, 0.5);
SELECT failure($$SELECT whisperer.response_time_at('{1,NULL}', 0.5)$$);
SELECT failure($$SELECT whisperer.response_time_at(array_fill(0::bigint, ARRAY[200]) || 1::bigint, 0.5)$$);

SELECT whisperer_internal.sum_counts(c) FROM (VALUES ('{1,2}'::int[]), ('{}'), (NULL), ('{10,20,30}'), ('{100}')) AS t (c);
SELECT n, whisperer_internal.sum_counts(c) FROM (VALUES (1, '{1,9000000000}'::bigint[]), (2, '{5}'), (1, '{1,1}'), (3, NULL)) AS t (n, c) GROUP BY n ORDER BY n;
SELECT failure($$SELECT whisperer_internal.sum_counts(c) FROM (VALUES ('{1,NULL}'::int[])) AS t (c)$$);
SELECT failure($$SELECT whisperer_internal.sum_counts(c) FROM (VALUES ('{a}'::text[])) AS t (c)$$);
SELECT failure($$SELECT whisperer_internal.sum_counts(c) FROM (VALUES ('{9223372036854775807}'::bigint[]), ('{1}')) AS t (c)$$);
SELECT failure($$SELECT whisperer_internal.sum_counts(c) OVER (ORDER BY c) FROM (VALUES ('{1}'::int[]), ('{2}')) AS t (c)$$);
SELECT failure($$SELECT whisperer_internal.add_counts('{1}', '{2}'::int[])$$);

-- A page of hooks asks for the ids of its hooks first: then no figure is made.  The figures take one look at the last hour.
CREATE FUNCTION pg_temp.scans(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    line text; found bigint := 0;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
        found := found + (line ~ ' on hook_minute ')::integer;
    END LOOP;
    RETURN found;
END $$;
SELECT pg_temp.scans('SELECT hook_id FROM whisperer.hook_stats ORDER BY hook_id LIMIT 201') AS for_ids,
       pg_temp.scans('SELECT success_rate, without_key FROM whisperer.hook_stats') AS without_times,
       pg_temp.scans('SELECT success_rate, response_time_p50, response_time_p95 FROM whisperer.hook_stats') AS of_the_last_hour,
       pg_temp.scans('SELECT delivered_total FROM whisperer.hook_stats') AS for_totals;
