-- What people with bad intentions write: control characters, disguised hosts, headers that are not theirs.
SELECT whisperer.pause();
SELECT whisperer.register_event('hostile');
SELECT whisperer.create_hook('hostile', 'https://example.com/hostile') AS hook \gset

-- Names.
SELECT failure(format('SELECT whisperer.register_event(%L)', name)) FROM (VALUES
    (E'a\nb'), (E'a\r\nX-Evil: 1'), (E'a\tb'), (E'a\x7fb'), (' a'), ('a '), ('a,b'), ('a*'), (repeat('a', 129)), ('')) AS bad(name);

-- Hosts and URLs, by the function, by update_hook and by plain DML.
SELECT failure(format('SELECT whisperer.create_hook(''hostile'', %L)', url)) FROM (VALUES
    (E'http://example.com\r\n/'), (E'http://example.com/\n'), (E'http://exa\tmple.com/'), (E'http://example.com/\x7f'), (E'\nhttp://example.com/'),
    ('http://a@b@example.com/'), ('http://example.com\@127.0.0.1/'), ('http://example.com%00.internal/'), ('http://127.0.0.1%/'),
    ('http://127.0.0.1#.example.com/'), ('http://[::1/'), ('http://[127.0.0.1]/'), (U&'http://b\00fccher.example/'), (U&'http://\ff11\ff12\ff17.0.0.1/'),
    ('http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/'), ('javascript:alert(1)'), ('file:///etc/passwd'), ('gopher://127.0.0.1:25/')) AS bad(url);
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', :hook, jsonb_build_object('target_url', E'http://example.com/\r\nX: y')));
SELECT failure(format('UPDATE whisperer.hook_definition SET target_url = %L WHERE id = %s', E'http://example.com/\r\nX: y', :hook));

-- Headers that decide how a request is read or who sent it.
SELECT failure(format('SELECT whisperer.create_hook(''hostile'', ''https://example.com/b'', additional_headers => %L)', jsonb_build_object(name, 'x')))
FROM unnest('{Content-Type,content-length,CONTENT-ENCODING,Host,Transfer-Encoding,TE,Trailer,Connection,Keep-Alive,Upgrade,Expect,Proxy-Authorization,
    webhook-id,Webhook-Timestamp,webhook-signature,X-Whisperer-Signature,x-whisperer-event,X-WHISPERER-HOOK}'::text[]) name;
SELECT failure(format('SELECT whisperer.create_hook(''hostile'', ''https://example.com/b'', additional_headers => %L)', headers)) FROM (VALUES
    ('{"X-A": "1\r\nX-B: 2"}'), ('{"X-A": "1\n 2"}'), ('{"X-A": "\u0001"}'), ('{"X-A\r\nX-B": "1"}'), ('{"X-A:": "1"}'), ('{"X A": "1"}'), ('{" X-A": "1"}'),
    ('{"": "1"}'), ('{"\u00e4": "1"}'), ('{"X-A": ["1"]}'), ('{"X-A": "1", "x-a": "2"}'), ('{"X-A": {"X-B": "1"}}')) AS bad(headers);
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', :hook, '{"additional_headers": {"Host": "internal"}}'));

-- Half a character in an error text would not be text.
SELECT failure(format('SELECT whisperer.create_hook(''hostile'', ''https://example.com/b'', additional_headers => %L)',
    jsonb_build_object(repeat('x', 63) || U&'\00e4', '1')));

-- Secrets and countdowns.
SELECT failure(format('SELECT whisperer.create_hook(''hostile'', ''https://example.com/b'', secret_key => %L)', secret)) FROM (VALUES
    (E'a\nb'), (E'a\x7f'), ('whsec_'), ('whsec_a'), (repeat('s', 1025))) AS bad(secret);
SELECT failure(format('SELECT whisperer.create_hook(''hostile'', ''https://example.com/b'', retry_countdown_config => %L)', config)) FROM (VALUES
    ('{"choice": "fixed", "kwargs": {"seconds": 1e308}}'), ('{"choice": "fixed", "kwargs": {"seconds": 1}, "max_retries": 9223372036854775808}'),
    ('{"choice": "fixed", "kwargs": {"seconds": 1}, "max_retries": -1}'), ('{"choice": "exponential", "kwargs": {"base": -2}}'), ('[]'), ('"fixed"')) AS bad(config);

-- Settings.
SELECT format('ALTER SYSTEM SET whisperer.allowed_networks = %L', networks) FROM (VALUES
    ('10.0.0.0/33'), ('localhost'), ('0x7f.1'), ('10.0.0.0/8:99999'), ('[10.0.0.1]:80'), ('::1/129'), ('*')) AS bad(networks) \gexec
SELECT count(*) AS hooks FROM whisperer.hook WHERE event_type = 'hostile';
SELECT whisperer.delete_hook(:hook);
SELECT whisperer.unregister_event('hostile');
SELECT whisperer.resume();
