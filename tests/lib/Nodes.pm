# A primary and its delivery nodes.
package Nodes;

use strict;
use warnings;
use Exporter 'import';
use Whisperer;

our @EXPORT = qw(sql error_of new_primary new_delivery_node subscribe arrive settle);

sub sql { my $node = shift; return $node->safe_psql('postgres', @_) }

sub error_of {
    my ($node, $sql) = @_;
    my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1);
    return join ' | ', $err =~ /(?:ERROR|HINT):\s+(.*)/g;
}

sub new_primary {
    my ($name, $extra, %options) = @_;
    my $primary = new_node($name, %options, extra => "wal_level = logical\nmax_replication_slots = 10\nmax_wal_senders = 10\n" . ($extra // ''));
    sql($primary, 'CREATE ROLE reader LOGIN REPLICATION');
    return $primary;
}

sub new_delivery_node {
    my ($name, %options) = @_;
    my $node = new_node("node_$name", %options, extra => "whisperer.node = '$name'\nwal_retrieve_retry_interval = 200ms\n");
    sql($node, 'CREATE ROLE shop');
    return $node;
}

# With the rights that a node needs, and no others.
sub subscribe {
    my ($primary, $node, $name) = @_;
    sql($node, sql($primary, sprintf q(SELECT whisperer.subscription_command('%s', '%s', hooks => true)), $name, ($primary->connstr('postgres') . ' user=reader') =~ s/'/''/gr));
    return;
}

# Everything that was committed on the primary is in the ledger of who delivers it.
sub arrive {
    my ($primary, @nodes) = @_;
    my $end = sql($primary, 'SELECT pg_current_wal_lsn()');
    for my $node (grep { $_ != $primary } @nodes) {
        my $slot = 'whisperer_' . $node->name =~ s/^node_//r;
        wait_for($node->name, sub { sql($primary, "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = '$slot'") eq 't' });
    }
    return;
}

sub settle {
    my ($primary, @nodes) = @_;
    arrive($primary, @nodes);
    wait_idle($_) for @nodes;
    return;
}

1;
