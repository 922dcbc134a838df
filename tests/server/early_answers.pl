# A receiver that answers before it has read the body: what it says counts, over HTTP and HTTPS, whatever the size.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('early');
run_log([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=early -addext subjectAltName=IP:127.0.0.1),
        '-keyout', "$folder/key", '-out', "$folder/crt" ]) or die 'openssl failed';
my $node = new_node('early', extra => "whisperer.ca_file = '$folder/crt'\nwhisperer.circuit_breaker = off\n");
my %receiver = (http => new_receiver('plain'), https => new_receiver('tls', tls => [ "$folder/key", "$folder/crt" ]));
sub sql { return $node->safe_psql('postgres', shift) }

my %expected = (
    202 => 'delivered|202||early 202|active|',
    410 => 'failed|410|HTTP status 410|early 410|disabled|',
    413 => 'pending|413|HTTP status 413|early 413|active|soon',
    429 => 'pending|429|HTTP status 429|early 429|active|in an hour',
);
my $retry = q('{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 3, "jitter": 0}');
for my $bytes (1_000, 60_000, 200_000, 900_000) {
    my $type = "e$bytes";
    sql("SELECT whisperer.register_event('$type')");
    my %hook;
    for my $scheme (sort keys %receiver) {
        for my $status (sort keys %expected) {
            my $url = $receiver{$scheme}->url("/early-status/$status");
            $hook{"$scheme $status"} = sql("SELECT whisperer.create_hook('$type', '$url', retry_countdown_config => $retry)");
        }
    }
    # The first finds no connection, the second may find one.
    for my $event (1, 2) {
        sql("SELECT whisperer.deliver_event('$type', json_build_object('fill', repeat('f', $bytes)))");
        wait_idle($node);
    }
    for my $name (sort keys %hook) {
        my ($status) = $name =~ /(\d+)$/;
        my $rows = sql(<<"SQL");
SELECT DISTINCT concat_ws('|', d.state, d.response_http_status, coalesce(d.error, ''), d.response_content, h.state,
    CASE WHEN d.next_attempt_at > now() + interval '50 min' THEN 'in an hour' WHEN d.next_attempt_at IS NOT NULL THEN 'soon' ELSE '' END)
FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id
WHERE h.id = $hook{$name} AND d.retry_count > 0
SQL
        is($rows, $expected{$status}, "$name, $bytes bytes");
    }
    sql("SELECT whisperer.delete_hook($_)") for values %hook;
}

done_testing();
