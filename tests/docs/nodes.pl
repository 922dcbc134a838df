# The three ways to have delivery nodes, by the commands of their page, each on servers of its own: a primary and a node; a primary
# whose hooks a node delivers; a database that loads no library, and one on which nothing of ours is installed.
use strict;
use warnings;
use JSON::PP ();
use Pages;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $receiver = new_receiver('nodes');
my %server;

# Servers to which nodes subscribe, and the nodes.
sub source { my ($name, %options) = @_; return server($name, %options, is_source => 1, extra => "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\n" . ($options{extra} // '')) }
sub server {
    my ($name, %options) = @_;
    my $node = new_node($name, bare => $options{bare}, extra => 'wal_retrieve_retry_interval = 200ms' . "\n" . ($options{extra} // ''));
    $node->safe_psql('postgres', 'CREATE ROLE node LOGIN REPLICATION') if $options{is_source};
    $server{$name} = { node => $node, %options{qw(is_source database)} };
    return $node;
}

source('primary');
server('node');
my $shared = source('shared');
$server{a}{node} = server('a', bare => 1);
$server{a}{folder} = $server{a}{node}->data_dir;
my $managed = source('managed', bare => 1, extra => "shared_preload_libraries = ''\n", database => 'shop');
$managed->safe_psql('postgres', 'CREATE ROLE shop');
$managed->safe_psql('postgres', 'CREATE DATABASE shop OWNER shop');
$managed->safe_psql('shop', 'SET ROLE shop; CREATE TABLE orders (id bigint PRIMARY KEY)');
server('outside');
source('shop', bare => 1, extra => "shared_preload_libraries = ''\n", database => 'shop')->safe_psql('postgres', 'CREATE DATABASE shop');
server('beside');

sub after {
    my @bodies = map { JSON::PP::decode_json($_->{body}) } $receiver->requests('/ok/hooks');
    is_deeply([ sort map { $_->{data}{way} // "$_->{event}{type} $_->{data}{id}" } @bodies ], [ sort 1, 11, 'orders-created 2', 'orders-created 3' ], 'each way ends at the receiver, once');
    unlike(slurp_file($_->{node}->logfile), qr/^\S+ \S+ \S+ \S+ \S* ?ERROR/m, 'and no server complains') for values %server;
}

run_page('docs/nodes.md', servers => \%server, places => { 'https://example.com/hooks' => $receiver->url('/ok/hooks') }, after => \&after);
$_->{node}->stop for values %server;
done_testing();
