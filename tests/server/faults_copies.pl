# Tools that rewrite tables while a load runs.  Some put a copy in the table's place, which they keep up to date
# by a trigger, and whose rows are new to every snapshot from before.
use strict;
use warnings;
use Faults;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

# REPACK (CONCURRENTLY) reads the WAL.
my $trial = Faults->new('faults_copies', keyed => 1, paths => [ '/ok/plain', '/late-first/50/x' ], rate => 200, extra => "wal_level = replica\n");
my $node = $trial->{node};
my %key_of = (outbox => 'r.id', delivery => 'r.event_id, r.hook_id', past_attempt => 'r.event_id, r.hook_id, r.number',
    event_key => 'r.key, r.event_type, r.event_id', key_decision => 'r.key, r.event_type, r.event_id, r.incarnation');
my @small = qw(hook_definition hook_node node node_message event_type_claim api_token_record hook_run secret event_type event_type_privilege request bookmark control hook_minute);

sub primary_key {
    my ($table) = @_;
    return $node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$table'::regclass AND indisprimary") =~ s/.*\.//r;
}

for my $parent (sort keys %key_of) {
    $trial->try_fault("$parent is copied by a trigger", sub {
        $trial->copy_table($trial->partition($parent), $key_of{$parent}) for 1 .. 3;
    });
}
$trial->try_fault('the tables of hooks and bookmarks are copied by a trigger', sub {
    for my $table (@small) {
        my $key = $node->safe_psql('postgres', "SELECT string_agg('r.' || quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = (SELECT indexrelid FROM pg_index WHERE indrelid = 'whisperer.$table'::regclass AND indisprimary)");
        $trial->copy_table("whisperer.$table", $key);
    }
});
$trial->try_fault('VACUUM FULL of everything', sub { $node->safe_psql('postgres', 'VACUUM FULL') });
$trial->try_fault('CLUSTER of outbox and ledger', sub {
    for my $table (map { $trial->partition($_) } sort keys %key_of) {
        $node->safe_psql('postgres', "CLUSTER $table USING @{[ primary_key($table) ]}");
    }
});

my $repack = $node->safe_psql('postgres', q(SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'))
    && (grep { -x } map { "$_/pg_repack" } split /:/, $ENV{PATH})[0];
SKIP: {
    skip 'pg_repack is not installed', 1 unless $repack;
    $node->safe_psql('postgres', 'CREATE EXTENSION pg_repack');
    $trial->try_fault('pg_repack of the whole database', sub {
        my ($out, $error) = run_command([ $repack, '--no-kill-backend', '--wait-timeout=300', '-h', $node->host, '-p', $node->port, 'postgres' ]);
        like($error, qr/repacking table "whisperer\.outbox_\d"/, 'it repacked the outbox');
        unlike($error, qr/ERROR/, 'and met no error') or diag $error;
    });
}

# REPACK is PostgreSQL's own from 19 on.
SKIP: {
    skip 'PostgreSQL has no REPACK before 19', 1 if $node->pg_version->major < 19;
    my @parents = sort keys %key_of;
    $trial->try_fault('REPACK (CONCURRENTLY) of all tables', sub {
        $node->safe_psql('postgres', "REPACK (CONCURRENTLY) $_") for (map { $trial->partition($_) } @parents), map { "whisperer.$_" } @small;
    });
}

done_testing();
