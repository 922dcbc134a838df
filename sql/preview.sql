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
DELETE FROM whisperer.hook_definition;
SELECT whisperer.unregister_event('shown');
SELECT whisperer.resume();
