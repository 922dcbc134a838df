# Secrets at rest: with a key file nothing that is stored shows them, requests are signed all the same,
# keys can be rotated, and a key that is gone stops the hooks that need it and nobody else.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use MIME::Base64 ();
use Openssl;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('sealed', extra => "whisperer.poll_interval = 100ms\n");
my $receiver = new_receiver('sealed');
my $key_file = PostgreSQL::Test::Utils::tempdir('keys') . '/whisperer.keys';
my ($first, $second) = ('1a' x 32, '2B' x 32);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Writes the key file anew, as an administrator would.
sub write_keys {
    my ($content, $mode) = @_;
    open my $out, '>', "$key_file.new" or die "cannot write $key_file.new: $!";
    print $out $content;
    close $out;
    chmod $mode // 0600, "$key_file.new";
    rename "$key_file.new", $key_file or die "cannot rename to $key_file: $!";
}

sub set {
    my ($name, $value) = @_;
    sql("ALTER SYSTEM SET $name = '$value'");
    $node->reload;
    wait_for($name, sub { sql("SELECT current_setting('$name')") eq $value });
}

sub hook {
    my ($path, @arguments) = @_;
    my $url = $receiver->url("/ok/$path");
    return sql('SELECT whisperer.create_hook(' . join(', ', "'e'", "'$url'", @arguments) . ')');
}

# What the owner of a hook is told when the statement fails.
sub failure {
    my ($statement) = @_;
    my ($status, undef, $error) = $node->psql('postgres', $statement, on_error_stop => 1, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    isnt($status, 0, "fails: $statement");
    return $error;
}

sub storage { return sql('SELECT storage, key_id, hooks FROM whisperer.secret_storage()') }

# Whether the stored bytes of the table, or a dump of the database, have something.
sub is_stored {
    my ($what) = @_;
    my $path = sql("VACUUM FULL whisperer.secret; CHECKPOINT; SELECT current_setting('data_directory') || '/' || pg_relation_filepath('whisperer.secret')");
    my ($dump) = run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, 'postgres' ]);
    like($dump, qr/COPY whisperer.secret/, 'the dump has the secrets');
    return (PostgreSQL::Test::Utils::slurp_file($path) . $dump) =~ $what;
}

sub deliver {
    my ($n) = @_;
    sql("SELECT whisperer.deliver_event('e', '{\"n\": $n}')");
}

# The request of event n at a path, once it is there.
sub request_of {
    my ($path, $n) = @_;
    return wait_for("event $n at $path", sub {
        return (grep { JSON::PP::decode_json($_->{body})->{data}{n} == $n } $receiver->requests("/ok/$path"))[0];
    });
}

# Without a file.
sql("SELECT whisperer.register_event('e')");
my $old = hook('old', "secret_key => 'plain-secret'", q(additional_headers => '{"X-Token": "plain-token"}'));
ok(is_stored(qr/plain-secret.*plain-token/s), 'without a key file secrets are stored as they are');
is(storage(), 'plain||1', 'and secret_storage says so');

# With one, what is new is sealed, and what is old when it is asked for.
write_keys("# keys\n$first\n");
set('whisperer.secret_key_file', $key_file);
my $new = hook('new', "secret_key => 'sealed-secret'", q(additional_headers => '{"X-Token": "sealed-token"}'),
    q(config => '{"auth": {"type": "bearer", "token": "sealed-bearer"}}'));
my $signing = hook('signing', 'secret_key => whisperer.make_signing_key()');
like(storage(), qr/^plain\|\|1\nsealed\|[0-9a-f]{16}\|2$/, 'what was there stays as it was');
ok(!is_stored(qr/sealed-secret|sealed-token|sealed-bearer/), 'what is new is not to be seen');
is(sql('SELECT whisperer.reencrypt_secrets()'), 1, 'reencrypt_secrets changes what was not sealed');
is(sql('SELECT whisperer.reencrypt_secrets()'), 0, 'and nothing a second time');
my ($key_id) = storage() =~ /^sealed\|([0-9a-f]{16})\|3$/;
is($key_id, substr(sha256_hex(pack 'H*', $first), 0, 16), 'the key id is the beginning of the SHA-256 of the key');
my $signing_key = sql("SELECT whisperer.hook_secret($signing)");
ok(!is_stored(qr/sealed-secret|sealed-token|plain-secret|plain-token|\Q$signing_key\E/), 'then none of it is to be seen');
ok(is_stored(qr/sealed:1:$key_id:/), 'but what is sealed');

# The owner and the receiver notice nothing.
is(sql("SELECT whisperer.hook_secret($old)"), 'whsec_' . MIME::Base64::encode_base64('plain-secret', ''), 'the owner sees his secret');
is(sql("SELECT whisperer_internal.masked_headers($old)->>'X-Token'"), '***', 'preview knows the names of headers');
deliver(1);
ok(verifies_v1(request_of('old', 1), 'plain-secret'), 'a secret that was sealed later signs');
ok(verifies_body(request_of('new', 1), 'sealed-secret'), 'one that was sealed from the beginning signs');
ok(verifies_v1a(request_of('signing', 1), sql("SELECT whisperer.hook_public_key($signing)")), 'so does a signing key');
is(Whisperer::Receiver::header(request_of('old', 1), 'x-token'), 'plain-token', 'headers are sent');
is(Whisperer::Receiver::header(request_of('new', 1), 'x-token'), 'sealed-token', 'of both');
is(Whisperer::Receiver::header(request_of('new', 1), 'authorization'), 'Bearer sealed-bearer', 'and credentials');

# Rotation of a hook's secret moves the old one to another column.
sql("SELECT whisperer.rotate_secret($new, 'newer-secret')");
deliver(2);
my $request = request_of('new', 2);
ok(verifies_v1($request, 'sealed-secret') && verifies_v1($request, 'newer-secret'), 'both secrets sign during the overlap');
ok(!is_stored(qr/sealed-secret|newer-secret/), 'and neither is to be seen');
sql(qq(SELECT whisperer.update_hook($new, '{"additional_headers": {"X-Token": "newer-token"}}')));
deliver(3);
is(Whisperer::Receiver::header(request_of('new', 3), 'x-token'), 'newer-token', 'changed headers are sent');
ok(verifies_v1($request = request_of('new', 3), 'sealed-secret'), 'and secrets left alone stay');

# A value cannot be moved to another hook or column.
sql("CREATE TABLE kept AS SELECT * FROM whisperer.secret");
sql("UPDATE whisperer.secret s SET secret_key = k.secret_key FROM kept k WHERE s.hook_id = $old AND k.hook_id = $new");
like(failure("SELECT whisperer.hook_secret($old)"), qr/55000: +secret_key of hook $old cannot be decrypted: .*another hook or column/, 'a value of another hook does not open');
sql("UPDATE whisperer.secret SET secret_key = previous_secret_key WHERE hook_id = $new");
like(failure("SELECT whisperer.hook_secret($new)"), qr/55000: .*another hook or column/, 'nor one of another column');
sql("UPDATE whisperer.secret s SET secret_key = k.secret_key FROM kept k WHERE s.hook_id = k.hook_id");

# A person cannot write what looks sealed.
like(failure("SELECT whisperer.rotate_secret($new, 'sealed:1:$key_id:AAAA')"), qr/22023: +secret must not start with sealed:/, 'a secret that looks sealed is refused');

# Keys rotate: the new one comes first; when all is written anew the old one may go.
write_keys("$second\n$first\n");
is(sql("SELECT whisperer.hook_secret($old) IS NOT NULL"), 't', 'with a new first key the old one still opens');
my $third = hook('third', "secret_key => 'third'");
is(scalar(split /\n/, storage()), 2, 'what is new is sealed with the new key');
is(sql('SELECT whisperer.reencrypt_secrets()'), 3, 'reencrypt_secrets writes the others anew');
write_keys("$second\n");
$node->reload;
deliver(4);
ok(verifies_v1(request_of($_->[0], 4), $_->[1]), "$_->[0]: signs when the old key is gone")
    for [ 'old', 'plain-secret' ], [ 'new', 'newer-secret' ], [ 'third', 'third' ];

# A session that read the file before must not go on with it.
write_keys("$second\n");
my ($seen) = run_command([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-v', 'ON_ERROR_STOP=0',
    '-c', "SELECT whisperer.hook_secret($third) IS NOT NULL", '-c', "\\! mv '$key_file' '$key_file.away'",
    '-c', "SELECT whisperer.hook_secret($third)", '-c', "\\! mv '$key_file.away' '$key_file'",
    '-c', "SELECT whisperer.hook_secret($third) IS NOT NULL" ]);
is($seen, "t\nt", 'a session notices that the file is gone, and that it is back');

# A key that is gone.
my $log_start = -s $node->logfile;
set('whisperer.secret_key_file', '');
hook('plain', "secret_key => 'stored as it is'");
deliver(5);
ok(verifies_v1(request_of('plain', 5), 'stored as it is'), 'without the key others are served');
wait_for('the log', sub { (() = PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start) =~ /cannot be served/g) == 4 });
deliver(6);
request_of('plain', 6);
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start);
is(scalar(() = $log =~ /hook $old cannot be served, its deliveries wait: it is encrypted and whisperer.secret_key_file is not set/g), 1, 'one line says why a hook is not');
like($log, qr/HINT:  Put the key back/, 'and what to do');
like(failure("SELECT whisperer.hook_secret($old)"), qr/55000: .*secret_key_file is not set.*HINT: +Put the key back/s, 'its owner is told, too');
like(failure("SELECT whisperer.rotate_secret($old)"), qr/55000: .*secret_key_file is not set/, 'also who wants to rotate');
is(scalar(grep { JSON::PP::decode_json($_->{body})->{data}{n} > 4 } $receiver->requests('/ok/old')), 0, 'nothing is sent unsigned meanwhile');
wait_for('its deliveries to wait', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $old AND state = 'pending'") == 2 });
sql(qq(SELECT whisperer.update_hook($third, '{"secret_key": "fourth"}')));
ok(verifies_v1(request_of('third', 6), 'fourth'), 'a new secret gets a hook out of it');
write_keys("$first\n");
set('whisperer.secret_key_file', $key_file);
like(failure("SELECT whisperer.hook_secret($old)"), qr/55000: .*no key with the id [0-9a-f]{16}/, 'a file without the key does not help');
my ($changed, $warnings);
$node->psql('postgres', 'SELECT whisperer.reencrypt_secrets()', stdout => \$changed, stderr => \$warnings);
is($changed, 2, 'reencrypt_secrets changes what it can open');
like($warnings, qr/secret_key of hook $old cannot be decrypted.*left as it is/, 'and leaves alone what it cannot');
# Another reason is told anew; and from here on only the reload says that the key is back.
wait_for('the log', sub {
    PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start) =~ /hook $old cannot be served, its deliveries wait: the key file has no key with the id/;
});
deliver(7);
request_of('plain', 7);
write_keys("$second\n$first\n");
$node->reload;
ok(verifies_v1(request_of('old', $_), 'plain-secret'), "event $_ goes out when the key is back") for 5 .. 7;

# Files that are refused, by what is wrong with them, and never by what is in them.
my @bad = (
    [ 'others may read it', sub { write_keys("$second\n", 0640) }, qr/F0000: .*other users/ ],
    [ 'it has no key', sub { write_keys("# none\n") }, qr/F0000: .*has no key/ ],
    [ 'a line is no key', sub { write_keys("$second\nfeedface\n") }, qr/F0000: .*line 2 of the key file is not a key/ ],
    [ 'it is the system administrator\'s', sub { unlink $key_file; symlink '/etc/passwd', $key_file }, qr/F0000: .*does not belong/ ],
    [ 'it is a folder', sub { unlink $key_file; mkdir $key_file }, qr/F0000: .*not a regular file/ ],
    [ 'it is gone', sub { rmdir $key_file }, qr/F0000: .*cannot be opened: No such file/ ],
);
for my $case (@bad) {
    my ($what, $make, $expected) = @$case;
    $make->();
    my $said = failure("SELECT whisperer.create_hook('e', 'http://127.0.0.1:9/bad')");
    like($said, $expected, "$what: nothing is stored");
    like($said, qr/HINT: /, "$what: there is a hint");
    unlike($said, qr/feedface|2b2b|2B2B|\Q$key_file\E/, "$what: no content, no path");
    like(failure("SELECT whisperer.hook_secret($old)"), $expected, "$what: nothing is opened");
}
is(sql("SELECT count(*) FROM whisperer.hook WHERE target_url = 'http://127.0.0.1:9/bad'"), 0, 'no hook was made meanwhile');

# Back to plain, and nobody may do that but who looks after the database.
write_keys("$second\n$first\n");
sql('CREATE ROLE app; CREATE ROLE keeper SUPERUSER; GRANT USAGE ON SCHEMA whisperer TO app');
for my $call ('whisperer.reencrypt_secrets()', 'whisperer.secret_storage()') {
    like(failure("SET ROLE app; SELECT * FROM $call"), qr/42501: +permission denied/, "$call is not for everybody");
    sql("SET ROLE keeper; SELECT * FROM $call");
}
like(failure("SET ROLE app; SELECT whisperer_internal.$_"), qr/42501: +permission denied for function/, "nor is $_")
    for "open_secret($old, 'secret_key', 'x')", "seal_secret($old, 'secret_key', 'x')", "reseal_secret($old, 'secret_key', 'x')";
write_keys("plain\n$second\n$first\n");
cmp_ok(sql('SELECT whisperer.reencrypt_secrets()'), '>', 3, 'with plain in place of the first key all is decrypted');
like(storage(), qr/^plain\|\|\d+$/, 'nothing is sealed any more');
set('whisperer.secret_key_file', '');
deliver(8);
ok(verifies_v1(request_of('old', 8), 'plain-secret'), 'and the key file may go');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/$first|$second|feedface/i, 'no key is in the log');

done_testing();
