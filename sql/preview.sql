-- preview: what would be sent, to whom; secrets masked, nothing sent.
SELECT whisperer.pause();
SELECT whisperer.register_event('shown');
SELECT whisperer.create_hook('shown', 'https://example.com/all', secret_key => 'very-secret', additional_headers => '{"Authorization": "Bearer token"}') AS all_events \gset
SELECT whisperer.create_hook('shown', 'https://example.com/paid', secret_key => '', filter => '{"paid": true}') AS paid \gset
SELECT whisperer.create_hook('*', 'https://example.com/eu', config => '{"region": "eu"}') AS eu \gset
BEGIN;
SELECT whisperer.deliver_event('shown', '{"id":  7}') AS seven \gset
SELECT target_url, headers - 'X-Whisperer-Hook' - 'webhook-id' AS headers, replace(body, replace(:'seven', '-', ''), 'ID') AS body FROM whisperer.preview();
SELECT whisperer.deliver_event('shown', '{"paid": true}', '{"region": "eu"}') AS paid_eu \gset
SELECT target_url FROM whisperer.preview(:'paid_eu');
COMMIT;
SELECT target_url FROM whisperer.preview();
SELECT target_url FROM whisperer.preview(:'seven');
SELECT count(*) AS deliveries FROM whisperer.delivery WHERE event_id = :'seven';
-- Other formats, of which one cannot say this event.
SELECT whisperer.update_hook(:all_events, '{"format": "cloudevents-binary"}'), whisperer.update_hook(:eu, '{"format": "form"}');
SELECT whisperer.deliver_event('shown', '{"id": 7, "paid": true}') AS eight \gset
SELECT whisperer.deliver_event('shown', '{"id": [7]}') AS nine \gset
SELECT target_url, headers - 'X-Whisperer-Hook' - 'webhook-id' - 'ce-id' - 'ce-time' - 'X-Whisperer-Event' AS headers, body FROM whisperer.preview(:'eight') WHERE hook_id <> :paid;
SELECT target_url, headers ? 'ce-id' AND headers ? 'ce-time' AS is_event, body FROM whisperer.preview(:'nine') WHERE hook_id <> :paid;
-- Other signatures.
SELECT whisperer.update_hook(:all_events, '{"signing": {"header": "X-Own", "value": "t={time},v1={hex}"}, "signatures": []}'), whisperer.update_hook(:eu, '{"signatures": ["whisperer"]}');
SELECT target_url, headers - '{X-Whisperer-Hook,webhook-id,ce-id,ce-time,X-Whisperer-Event,Content-Type,ce-type,ce-source,ce-specversion,Authorization}'::text[] AS headers
FROM whisperer.preview(:'eight') WHERE hook_id <> :paid;
SELECT whisperer.update_hook(:eu, '{"signatures": [], "metadata_headers": ["source", "object", "attempt"]}');
SELECT headers - '{X-Whisperer-Hook,webhook-id,Content-Type}'::text[] AS headers FROM whisperer.preview(:'eight') WHERE hook_id = :eu;
-- In batches: as one that has this event alone.
SELECT whisperer.update_hook(:eu, '{"format": null, "metadata_headers": null, "batch": {}}'), whisperer.update_hook(:all_events, '{"format": "cloudevents", "signing": null, "batch": {"form": "ndjson"}}');
SELECT target_url, headers - '{X-Whisperer-Hook,webhook-id,Authorization}'::text[] AS headers, headers->>'webhook-id' ~ '^[0-9a-f]{32}$' AND headers->>'webhook-id' <> replace(:'eight', '-', '') AS has_id,
       replace(regexp_replace(body, '"time":"[^"]*"', '"time":"then"'), replace(:'eight', '-', ''), 'eight') AS body
FROM whisperer.preview(:'eight') WHERE hook_id <> :paid;
SELECT whisperer.update_hook(:eu, '{"batch": null}'), whisperer.update_hook(:all_events, '{"batch": null}');
-- Compressed, if it is long enough; a ping is not.
SELECT whisperer.update_hook(:eu, '{"encoding": "gzip"}');
SELECT whisperer.deliver_event('shown', jsonb_build_object('text', repeat('x', 2000)), '{"region": "eu"}') AS long \gset
SELECT headers->>'Content-Encoding' AS coding, length(body) > 2000 AS is_as_signed FROM whisperer.preview(:'long') WHERE hook_id = :eu;
SELECT headers->>'Content-Encoding' AS coding FROM whisperer.preview(:'eight') WHERE hook_id = :eu;
SELECT whisperer.update_hook(:eu, '{"encoding": null}');
-- A ping, which no filter holds up, and an event of a type that nobody has registered yet.
SELECT whisperer.record_ping(:paid) AS ping \gset
SELECT target_url, body IS NOT NULL AS has_body FROM whisperer.preview(:'ping');
CREATE TABLE unregistered (id int);
CREATE TRIGGER capture AFTER INSERT ON unregistered FOR EACH ROW EXECUTE FUNCTION whisperer.capture('early');
INSERT INTO unregistered VALUES (1);
SELECT id AS early FROM whisperer.outbox WHERE event_type = 'early' \gset
SELECT target_url FROM whisperer.preview(:'early');
SELECT whisperer.why(:'early', :eu), whisperer.why(:'early', :paid);
DROP TABLE unregistered;
DELETE FROM whisperer.hook_definition;
SELECT whisperer.unregister_event('shown');
SELECT whisperer.resume();
