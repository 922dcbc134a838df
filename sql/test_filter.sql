-- Filters: operators and containment, checked when they are written, tried out with test_filter.
SELECT whisperer.pause();
SELECT filter, whisperer.test_filter(filter::jsonb, data::json), data FROM (VALUES
    ('{"status": "paid"}', '{"status": "paid", "total": 5}'),
    ('{"tags": ["new"]}', '{"tags": ["old", "new"]}'),
    ('{"tags": "new"}', '{"tags": ["old", "new"]}'),
    ('{"tags": {"$eq": "new"}}', '{"tags": ["old", "new"]}'),
    ('{"tags": {"$ne": "new"}}', '{"tags": ["old", "new"]}'),
    ('{"total": {"$gt": 100, "$lte": 1e3}}', '{"total": 1000.0}'),
    ('{"total": {"$gt": 9007199254740992}}', '{"total": 9007199254740993}'),
    ('{"total": {"$gt": 100}}', '{"total": "1000"}'),
    ('{"a": {"$eq": null}}', '{}'),
    ('{"a": {"$eq": null}}', '{"a": null}'),
    ('{"a": {"$exists": false}}', '{"a": null}'),
    ('{"old": {"status": {"$ne": "paid"}}, "new": {"status": "paid"}}', '{"old": {"status": "open"}, "new": {"status": "paid"}}'),
    ('{"old": {"status": {"$ne": "paid"}}, "new": {"status": "paid"}}', '{"old": {"status": "paid"}, "new": {"status": "paid"}}'),
    ('{"$or": [{"a": 1}, {"b": {"$prefix": "x"}}]}', '{"b": "xyz"}'),
    ('{"a": 1, "$or": [{"b": 1}]}', '{"a": 1, "b": 1}'),
    ('{"a": {"$contains": {"$type": 1}}}', '{"a": {"$type": 1, "b": 2}}'),
    ('{"sku": {"$regex": "^A[0-9]{3}-"}}', '{"sku": "A123-x"}'),
    ('{"sku": {"$regex": "^A[0-9]{3}-"}}', '{"sku": "xA123-x"}'),
    ('{"sku": {"$regex": "(?i)a\\d"}}', '{"sku": ["x", "xA1"]}'),
    ('{"sku": {"$regex": "^5"}}', '{"sku": 50}'),
    ('{"a": 1}', '{"nul": "\u0000", "big": 1e200000, "a": 1}')) AS v (filter, data);
-- json, jsonb, an untyped literal; NULL is nothing to be told of.
SELECT whisperer.test_filter('{"a": 1}', d) AS json FROM (VALUES ('{"a": 1}'::json)) AS v (d);
SELECT whisperer.test_filter('{"a": 1}', d) AS jsonb FROM (VALUES ('{"a": 1}'::jsonb)) AS v (d);
SELECT whisperer.test_filter('{"a": 1}', '{"a": 1}') AS untyped, whisperer.test_filter('{"a": 1}', NULL) IS NULL AS of_null;
SELECT failure($$SELECT whisperer.test_filter('{"a": 1}', '{"a": ')$$);
-- Beyond the limits nothing is said.
SELECT whisperer.test_filter(jsonb_build_object('$in', jsonb_agg('x'::text)), json_agg(i)) IS NULL AS undecided FROM generate_series(1, 2000) i;
SELECT whisperer.test_filter(NULL, '{}') IS NULL AS of_nothing;
-- What is wrong is said when it is written.
SELECT failure($$SELECT whisperer.test_filter('{"a": {"$matches": "x"}}', '{}')$$);
SELECT failure($$SELECT whisperer.test_filter('{"a": {"$regex": "a(b"}}', '{}')$$);
SELECT failure($$SELECT whisperer.test_filter('{"a": {"$regex": "(a)\\1"}}', '{}')$$);
SELECT failure($$SELECT whisperer.test_filter('{"a": {"$regex": "(\\pL{1,40} ){1,20}"}}', '{}')$$);
SELECT failure($$SELECT whisperer.test_filter('{"a": {"$regex": 5}}', '{}')$$);
SELECT failure(format('SELECT whisperer.test_filter(%L, %L)', json_build_object('$regex', repeat('x', 1001)), '{}'));
SELECT failure(format('SELECT whisperer.test_filter(%L, %L)', json_build_object('$or', (SELECT json_agg(json_build_object('$regex', i)) FROM (SELECT generate_series(1, 11)::text) g (i))), '{}'));
SELECT whisperer.register_event('filtered');
SELECT failure($$SELECT whisperer.create_hook('filtered', 'https://example.com/a', filter => '{"a": {"$like": "x"}}')$$);
SELECT failure($$SELECT whisperer.create_hook('filtered', 'https://example.com/a', filter => '{"a": {"$in": 1}}')$$);
SELECT failure($$SELECT whisperer.create_hook('filtered', 'https://example.com/a', filter => (repeat('[', 66) || repeat(']', 66))::jsonb)$$);
SELECT whisperer.create_hook('filtered', 'https://example.com/a', filter => '{"total": {"$gte": 100}}') AS hook \gset
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"filter": {"$gte": null}}')$$, :hook));
SELECT failure(format($$UPDATE whisperer.hook SET filter = '{"$or": []}' WHERE id = %s$$, :hook));
SELECT failure(format($$UPDATE whisperer.hook_definition SET filter = '{"$or": [1, {"$nor": 1}]}' WHERE id = %s$$, :hook));
-- preview and why say what the worker does.
SELECT whisperer.deliver_event('filtered', '{"total": 99.99}') AS less \gset
SELECT whisperer.deliver_event('filtered', '{"total": 100}') AS more \gset
SELECT target_url FROM whisperer.preview(:'less');
SELECT target_url FROM whisperer.preview(:'more');
SELECT whisperer.why(:'less', :hook);
DELETE FROM whisperer.hook_definition;
SELECT whisperer.unregister_event('filtered');
SELECT whisperer.resume();
