-- Schemas of event types: what is refused when they are written, what they say of data, and what is shown.
SELECT whisperer.pause();
CREATE ROLE regress_schemas;
CREATE ROLE regress_schemas_other;
GRANT USAGE ON SCHEMA whisperer TO regress_schemas, regress_schemas_other;
SET ROLE regress_schemas;
SELECT whisperer.register_event('schema-paid', 'An order was paid',
    schema => '{"type": "object", "required": ["id", "total"], "properties": {"id": {"type": "integer"}, "total": {"type": "number", "minimum": 0}}}',
    example => '{"id": 7, "total": 19.99}');
SELECT name, schema, example, on_invalid FROM whisperer.event_type WHERE name = 'schema-paid';

-- What would be ignored is refused, and so is an example that does not fit.
SELECT failure($$SELECT whisperer.register_event('bad', schema => '{"properties": {"email": {"type": "string", "pattern": "@"}}}')$$);
SELECT failure($$SELECT whisperer.register_event('bad', schema => '{"$ref": "https://example.com/schema.json"}')$$);
SELECT failure($$SELECT whisperer.register_event('bad', schema => '{"$schema": "http://json-schema.org/draft-07/schema#"}')$$);
SELECT failure($$SELECT whisperer.register_event('bad', schema => '{"type": "text"}')$$);
SELECT failure($$SELECT whisperer.register_event('bad', schema => '[]')$$);
SELECT failure($$SELECT whisperer.register_event('bad', schema => '{"$ref": "#"}')$$);
SELECT failure($$SELECT whisperer.register_event('bad', schema => '{"type": "object"}', example => '[]')$$);
SELECT failure($$SELECT whisperer.register_event('bad', example => to_jsonb(repeat('x', 65536)))$$);
SELECT failure($$SELECT whisperer.register_event('bad', on_invalid => 'drop')$$);
SELECT failure($$SELECT whisperer.register_event('bad', on_invalid => NULL)$$);
SELECT count(*) FROM whisperer.event_type WHERE name = 'bad';

-- Later, column by column.
SELECT whisperer.update_event('schema-paid', '{"on_invalid": "send", "description": null}');
SELECT description, schema IS NOT NULL AS has_schema, example, on_invalid FROM whisperer.event_type WHERE name = 'schema-paid';
SELECT failure($$SELECT whisperer.update_event('schema-paid', '{"example": {"id": "7"}}')$$);
SELECT failure($$SELECT whisperer.update_event('schema-paid', '{"schema": {"required": ["currency"]}}')$$);
SELECT failure($$SELECT whisperer.update_event('schema-paid', '{"on_invalid": "perhaps"}')$$);
SELECT failure($$SELECT whisperer.update_event('schema-paid', '{"name": "x"}')$$);
SELECT failure($$SELECT whisperer.update_event('schema-paid', '{"description": {"en": "paid"}}')$$), failure($$SELECT whisperer.update_event('schema-paid', '{"description": 7}')$$);
SELECT failure($$SELECT whisperer.update_event('schema-paid', NULL)$$);
SELECT failure($$SELECT whisperer.update_event('schema-paid', '[]')$$);
SELECT failure($$SELECT whisperer.update_event('unknown', '{}')$$);
SELECT whisperer.update_event('schema-paid', '{"schema": null, "example": null, "on_invalid": null}');
SELECT description, schema, example, on_invalid FROM whisperer.event_type WHERE name = 'schema-paid';
SET ROLE regress_schemas_other;
SELECT failure($$SELECT whisperer.update_event('schema-paid', '{"description": "mine"}')$$);
SET ROLE regress_schemas;

-- What data may be, tried out.
SELECT schema, data, whisperer.test_schema(schema::jsonb, data::json) FROM (VALUES
    ('{"type": "object", "required": ["id"]}', '{"id": 1}'),
    ('{"type": "object", "required": ["id"]}', '{"ID": 1}'),
    ('{"type": ["string", "null"]}', '1'),
    ('{"properties": {"a": {"items": {"enum": [1, 2]}}}}', '{"a": [1, 2.0, 3]}'),
    ('{"properties": {"a": true}, "additionalProperties": false}', '{"a": 1, "b": 2}'),
    ('{"maximum": 9007199254740992}', '9007199254740993'),
    ('{"multipleOf": 0.01}', '19.999'),
    ('{"maxLength": 1}', '"\ud83d\ude00"'),
    ('{"format": "email"}', '"no address"'),
    ('{"oneOf": [{"type": "integer"}, {"minimum": 2}]}', '3'),
    ('{"if": {"required": ["card"]}, "then": {"required": ["expiry"]}}', '{"card": "1"}'),
    ('{"$defs": {"tree": {"properties": {"of": {"$ref": "#/$defs/tree"}}, "type": "object"}}, "$ref": "#/$defs/tree"}', '{"of": {"of": 1}}'),
    ('{"type": "object"}', '{"nul": "\u0000", "big": 1e200000}'),
    ('false', 'null')) AS v (schema, data);
SELECT whisperer.test_schema('{"required": ["id"]}', d) AS json FROM (VALUES ('{}'::json)) AS v (d);
SELECT whisperer.test_schema('{"required": ["id"]}', d) AS jsonb FROM (VALUES ('{}'::jsonb)) AS v (d);
SELECT whisperer.test_schema('{"required": ["id"]}', '{}') AS untyped, whisperer.test_schema('{}', NULL) IS NULL AS of_null;
SELECT whisperer.test_schema('{"items": {"not": {"enum": [1, 2, 3, 4, 5, 6, 7, 8, 9]}}}', json_agg(i)) FROM generate_series(10, 200000) i;
SELECT whisperer.test_schema(NULL, '{}') IS NULL AS of_nothing;
SELECT failure($$SELECT whisperer.test_schema('{"pattern": "x"}', '""')$$);

-- preview leaves out what would not be sent.
SELECT whisperer.update_event('schema-paid', '{"schema": {"required": ["id"]}, "example": {"id": 7, "at": "2026-01-01"}}');
SELECT whisperer.create_hook('schema-paid', 'https://example.com/schema') AS hook \gset
BEGIN;
SELECT whisperer.deliver_event('schema-paid', '{"n": 1}') AS invalid, whisperer.deliver_event('schema-paid', '{"id": 1}') AS valid \gset
SELECT hook_id = :hook AS mine, body::json->'data' AS data FROM whisperer.preview(:'invalid');
SELECT hook_id = :hook AS mine, body::json->'data' AS data FROM whisperer.preview(:'valid');
SELECT whisperer.update_event('schema-paid', '{"on_invalid": "send"}');
SELECT hook_id = :hook AS mine, body::json->'data' AS data FROM whisperer.preview(:'invalid');
ROLLBACK;

-- A ping may show what an event of a type is like.
BEGIN;
SELECT failure(format($$SELECT whisperer.record_ping(%s, 'unknown')$$, :hook));
SELECT whisperer.record_ping(:hook, 'schema-paid') AS ping \gset
SELECT event_type, data, meta FROM whisperer.outbox WHERE id = :'ping';
SELECT body::json->'event'->>'type' AS type, body::json->'data' AS data, headers->>'X-Whisperer-Event' AS header FROM whisperer.preview(:'ping');
SELECT whisperer.update_event('schema-paid', '{"example": null}');
SELECT failure(format($$SELECT whisperer.record_ping(%s, 'schema-paid')$$, :hook));
ROLLBACK;

SELECT whisperer.delete_hook(:hook);
RESET ROLE;
DELETE FROM whisperer.hook_definition WHERE id = :hook;
SELECT count(whisperer.unregister_event(name)) FROM whisperer.event_type WHERE owner_name = 'regress_schemas';
DROP OWNED BY regress_schemas, regress_schemas_other;
DROP ROLE regress_schemas, regress_schemas_other;
SELECT whisperer.resume();
