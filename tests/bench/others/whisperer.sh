# This extension, as it is installed: for one hook there is nothing to tune.  It has the bench's own server.
whisperer_prepare() {
    sql -c "CREATE TRIGGER enqueue AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('others')"
    add_hook others "$nginx/log"
    sql -c 'SELECT whisperer.pause()' >/dev/null
}

whisperer_aim() { sql -c "SELECT whisperer.update_hook(id, jsonb_build_object('target_url', '$1')) FROM whisperer.hook" >/dev/null; } # URL
whisperer_start() { sql -c 'SELECT whisperer.resume()' >/dev/null; }
whisperer_stop() { sql -c 'SELECT whisperer.pause()' >/dev/null; }
whisperer_keys() { echo "SELECT replace(id::text, '-', '') AS key, (data->>'id')::bigint AS item FROM whisperer.outbox"; }
whisperer_held() {
    echo "SELECT count(*) FROM whisperer.outbox o
          WHERE NOT EXISTS (SELECT FROM whisperer.delivery d WHERE d.event_id = o.id AND d.state <> 'pending')"
}
