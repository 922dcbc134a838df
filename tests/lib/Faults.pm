# Faults while a load runs, and what came of it: everything that is in the application's table at the end
# must have been received, and nothing else may have been.
#
# The load rolls back, uses savepoints, prepares transactions and commits asynchronously.  Each row has a key of its
# own, which is in the payload, so that what was received is compared with the application's table alone.
# When a fault comes is random; the seed is printed, and WHISPERER_SEED repeats it.  WHISPERER_TRIES says how often each
# fault is tried, and the file WHISPERER_REPORT gets the table's lines.
package Faults;

use strict;
use warnings;
use Fcntl qw(LOCK_EX);
use IPC::Run ();
use List::Util qw(max);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);
use Whisperer;

# What the sessions of application and test say, whatever a fault made the default.
my @application_settings = qw(statement_timeout=0 lock_timeout=0 idle_in_transaction_session_timeout=0
    default_transaction_read_only=off default_transaction_deferrable=off);

push @application_settings, 'transaction_timeout=0' if `postgres -V` =~ / (\d+)/ && $1 >= 17;

my %scripts = (
    plain => "INSERT INTO item (round) VALUES (:round);\n",
    asynchronous => "BEGIN;\nSET LOCAL synchronous_commit = off;\nINSERT INTO item (round) VALUES (:round);\nCOMMIT;\n",
    rollback => "BEGIN;\nINSERT INTO item (round) VALUES (:round);\nROLLBACK;\n",
    savepoint => "BEGIN;\nINSERT INTO item (round) VALUES (:round);\nSAVEPOINT s;\nINSERT INTO item (round) VALUES (:round);\n"
        . "ROLLBACK TO s;\nINSERT INTO item (round) VALUES (:round);\nCOMMIT;\n",
    prepared => "\\set n random(1, 1000000000)\nBEGIN;\nINSERT INTO item (round) VALUES (:round);\n"
        . "PREPARE TRANSACTION 'p:client_id:n';\nCOMMIT PREPARED 'p:client_id:n';\n",
);
my %mixes = (
    mixed => { plain => 8, asynchronous => 3, rollback => 2, savepoint => 2, prepared => 1 },
    asynchronous => { asynchronous => 1 },
);

# A server, a receiver and hooks on it.  paths: of the hooks; extra and init: as for new_node; keyed: each row is recorded
# twice with an idempotency key, and not by capture.
sub new {
    my ($class, $name, %options) = @_;
    my $seed = $ENV{WHISPERER_SEED} // int(rand(1_000_000));
    srand($seed);
    note "WHISPERER_SEED=$seed";
    $ENV{PGOPTIONS} = join ' ', map { "-c $_" } @application_settings;
    my $node = new_node($name, init => $options{init}, extra => <<"CONF" . ($options{extra} // ''));
restart_after_crash = on
log_statement = none
whisperer.circuit_breaker = off
CONF
    my $self = bless { name => $name, node => $node, seed => $seed, round => 0, rows => [], logs => [],
        keyed => $options{keyed}, rate => $options{rate} // 300, folder => PostgreSQL::Test::Utils::tempdir("load_$name") }, $class;
    $self->start_receiver;
    $node->safe_psql('postgres', <<'SQL');
CREATE TABLE item (id bigserial PRIMARY KEY, key uuid NOT NULL DEFAULT gen_random_uuid(), round int NOT NULL, client int NOT NULL DEFAULT pg_backend_pid(),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp());
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
CREATE FUNCTION same(event json) RETURNS json LANGUAGE sql AS 'SELECT event';
SQL
    $self->record_by_key if $options{keyed};
    $self->add_hook($_) for @{ $options{paths} // ['/ok/plain'] };
    for my $script (keys %scripts) {
        PostgreSQL::Test::Utils::append_to_file("$self->{folder}/$script", $scripts{$script});
    }
    return $self;
}

sub record_by_key {
    my ($self) = @_;
    $self->{node}->safe_psql('postgres', <<'SQL');
CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. 2 LOOP
        PERFORM whisperer.deliver_event('item-created', row_to_json(NEW), idempotency_key => NEW.key::text);
    END LOOP;
    RETURN NULL;
END $$;
DROP TRIGGER item_created ON item;
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION record();
SQL
}

# Paths that contain "transform" get a hook with a function, those that contain "batch" one with batches, those that
# contain "ordered" one with ordering 'hook'.
sub add_hook {
    my ($self, $path) = @_;
    my $more = $path =~ /transform/ ? ", transform => 'public.same'" : '';
    $more .= q(, batch => '{"size": 10, "wait": "50 ms"}') if $path =~ /batch/;
    $more .= q(, ordering => 'hook') if $path =~ /ordered/;
    my $url = $self->{receiver}->url($path);
    my $id = $self->{node}->safe_psql('postgres', <<"SQL");
SELECT whisperer.create_hook('item-created', '$url', retry_countdown_config =>
    '{"choice": "fixed", "kwargs": {"seconds": 0.2}, "max_retries": 1000}'$more)
SQL
    $self->{paths}{$path} = $id;
}

# --- what faults use ----------------------------------------------------------------------------

# The answer, or undef while the server cannot answer.
sub ask {
    my ($self, $query) = @_;
    my ($status, $out) = eval { $self->{node}->psql('postgres', $query, on_error_die => 0, timeout => 60, stderr => \my $ignored) };
    # A psql that is refused may end before it was told the query.
    return undef if $@ =~ /Broken pipe/;
    die $@ if $@;
    return $status == 0 ? $out : undef;
}

# Asks until it is answered: under the settings that are tried a connection may not last until then.
sub insist {
    my ($self, $query) = @_;
    return wait_for($query, sub { defined $self->ask($query) });
}

# The same for what it says.
sub answer {
    my ($self, $query) = @_;
    my $answer;
    wait_for($query, sub { defined($answer = $self->ask($query)) });
    return $answer;
}

# The pid of a process of this kind, once there is one.
sub process {
    my ($self, $kind) = @_;
    return wait_for("a $kind", sub {
        $self->ask("SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind' LIMIT 1");
    });
}

sub worker {
    my ($self) = @_;
    return wait_for('the worker', sub {
        $self->ask("SELECT pid FROM whisperer.status WHERE state = 'running' AND pid IS NOT NULL");
    });
}

# Started again as soon as nothing of the old one is left.
sub start_server {
    my ($self) = @_;
    # A failed start finds the old pid file and takes the server for running.
    wait_for('the old server to be gone', sub { $self->{node}{_pid} = undef; $self->{node}->start(fail_ok => 1) });
}

# On the same port as before.
sub start_receiver {
    my ($self) = @_;
    my $receiver = new_receiver("$self->{name}_" . @{ $self->{logs} }, port => $self->{receiver} ? $self->{receiver}{port} : 0);
    $self->{receiver} = $receiver;
    push @{ $self->{logs} }, { receiver => $receiver, read => 0 };
}

sub set {
    my ($self, %settings) = @_;
    $self->insist("ALTER SYSTEM SET $_ = $settings{$_}") for sort keys %settings;
    $self->{node}->reload;
}

sub reset_settings {
    my ($self, @names) = @_;
    $self->insist("ALTER SYSTEM RESET $_") for @names;
    $self->{node}->reload;
}

sub moment {
    my ($low, $high) = @_;
    return $low + rand($high - $low);
}

# The table that events are recorded in now, and where their results go.
sub partition {
    my ($self, $parent) = @_;
    return "whisperer.${parent}_" . $self->{node}->safe_psql('postgres', 'SELECT whisperer_internal.current_slot()');
}

# A folder on the small file system, for one test at a time until it gives the handle back; nothing where there is none.
sub small_folder {
    my ($name) = @_;
    my $small = $ENV{WHISPERER_SMALL} or return;
    open my $handle, '>', "$small/in_use" or die "cannot open $small/in_use: $!";
    flock $handle, LOCK_EX or die "cannot lock $small/in_use: $!";
    mkdir "$small/$name" or die "cannot make $small/$name: $!";
    return ("$small/$name", $handle);
}

# Fills it until there is no room for more; what fills it goes away with the file that is returned.
sub fill {
    my ($folder) = @_;
    system("dd if=/dev/zero of=$folder/../ballast bs=64k 2>/dev/null");
    return "$folder/../ballast";
}

# Copies a table while it is written to, and puts the copy's rows in its place, as pg_repack does: a trigger notes what
# changes meanwhile, and the last step makes up for it.  key: of a row r.
sub copy_table {
    my ($self, $table, $key) = @_;
    my $key_of_change = $key =~ s/\br\./(c.r)./gr;
    $self->{node}->safe_psql('postgres', <<"SQL");
SET lock_timeout = '60s';
BEGIN;
LOCK TABLE $table IN ACCESS EXCLUSIVE MODE;
CREATE TABLE changed (n bigserial, is_gone boolean, r $table);
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
\$\$BEGIN INSERT INTO public.changed (is_gone, r) VALUES (TG_OP = 'DELETE', coalesce(NEW, OLD)); RETURN NULL; END\$\$;
CREATE TRIGGER note_row AFTER INSERT OR UPDATE OR DELETE ON $table FOR EACH ROW EXECUTE FUNCTION note_row();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE TABLE copy AS SELECT * FROM $table;
DELETE FROM changed;
COMMIT;
BEGIN;
LOCK TABLE $table IN ACCESS EXCLUSIVE MODE;
DELETE FROM copy r USING changed c WHERE ($key) = ($key_of_change);
INSERT INTO copy SELECT (last.r).* FROM (SELECT DISTINCT ON ($key_of_change) c.r, c.is_gone FROM changed c
    ORDER BY $key_of_change, n DESC) AS last WHERE NOT is_gone;
DROP TRIGGER note_row ON $table;
SET LOCAL session_replication_role = replica;
TRUNCATE $table;
INSERT INTO $table OVERRIDING SYSTEM VALUE SELECT * FROM copy;
DROP TABLE changed, copy;
DROP FUNCTION note_row();
COMMIT;
SQL
}

# --- the load -----------------------------------------------------------------------------------

# A client whose connection breaks ends; the next pgbench opens new ones.
sub start_load {
    my ($self, $mix) = @_;
    my ($node, $folder) = @{$self}{qw(node folder)};
    unlink "$folder/stop";
    my $weights = $mixes{$mix};
    my @files = map { "-f $folder/$_\@$weights->{$_}" } sort keys %$weights;
    my $pgbench = join ' ', "pgbench -n -c 4 -t 40 -l --log-prefix=$folder/times -R", $self->{rate}, "-D round=$self->{round}", "--random-seed=$self->{seed}\$n",
        '-h', $node->host, '-p', $node->port, @files, 'postgres';
    $self->{load} = IPC::Run::start([ 'sh', '-c', "export PGAPPNAME=load; n=0; until [ -e $folder/stop ]; do n=\$((n + 1)); $pgbench || sleep 0.05; done" ],
        '<', \undef, '>', "$folder/out", '2>', "$folder/err");
}

sub stop_load {
    my ($self) = @_;
    PostgreSQL::Test::Utils::append_to_file("$self->{folder}/stop", '');
    $self->{load}->finish;
}

# A test that died leaves no load behind.
sub DESTROY {
    my ($self) = @_;
    PostgreSQL::Test::Utils::append_to_file("$self->{folder}/stop", '') if -d $self->{folder};
}

sub wait_for_rows {
    my ($self, $more) = @_;
    my $count = "SELECT count(*) FROM item WHERE round = $self->{round}";
    my $before;
    wait_for('the server', sub { defined($before = $self->ask($count)) });
    wait_for('the load', sub { ($self->ask($count) // 0) >= $before + $more });
}

# The servers in whose ledger deliveries are, when it is not only the one with the load.
sub deliver_by {
    my ($self, @nodes) = @_;
    $self->{deliverers} = \@nodes;
}

# What each server with a ledger answers to a query.
sub answers {
    my ($self, $query) = @_;
    return join "\n", grep { $_ ne '' } $self->answer($query), map { $_->safe_psql('postgres', $query) } @{ $self->{deliverers} // [] };
}

# What was prepared when its session died is somebody's to decide: committed.
sub commit_prepared {
    my ($self) = @_;
    wait_for('the prepared transactions', sub {
        my $names = $self->answer('SELECT gid FROM pg_prepared_xacts');
        $self->ask("COMMIT PREPARED '$_'") for split /\n/, $names;
        return $names eq '';
    });
}

# Everything is delivered.
sub settle {
    my ($self) = @_;
    $self->commit_prepared;
    $self->worker;
    $self->{before_settling}->() if $self->{before_settling};
    wait_for('all deliveries', sub { defined $self->ask("CALL whisperer.wait_idle('60 s')") });
    wait_idle($_) for @{ $self->{deliverers} // [] };
    wait_for('the last retry', sub { $self->answers("SELECT 1 FROM whisperer.delivery WHERE state = 'pending' LIMIT 1") eq '' });
}

# --- the comparison -----------------------------------------------------------------------------

# Requests that were logged since the last call: {path}{key} = [[received at, attempt begun at, id, place], ...],
# in microseconds; when it began is known in whole seconds.  Place: in the order of requests, and within them.
sub received {
    my ($self) = @_;
    my %received;
    for my $log (@{ $self->{logs} }) {
        open my $file, '<:raw', $log->{receiver}{log} or next;
        seek $file, $log->{read}, 0;
        while (my $line = <$file>) {
            next unless $line =~ /\n\z/;
            my ($at, $path) = $line =~ /"at_us":(\d+),.*?"path":"([^"]*)"/ or die "not a request: $line";
            my @keys = $line =~ /\\"key\\":\\"([-0-9a-f]+)\\"/g or die "without a key: $line";
            my ($begun) = $line =~ /"webhook-timestamp","(\d+)"/ or die "without a time: $line";
            my ($id) = $line =~ /"webhook-id","([0-9a-f]+)"/ or die "without an id: $line";
            my ($body) = $line =~ /"body":"(.*)"\}\n/ or die "without a body: $line";
            $self->{twofold}++ if ($self->{body_of}{"$path $id"} //= $body) ne $body;
            push @{ $received{$path}{$_} }, [ $at, $begun * 1e6, $id, $self->{places}++ ] for @keys;
        }
        $log->{read} = tell $file;
    }
    return \%received;
}

# {key} = when it was inserted, in microseconds.
sub committed {
    my ($self) = @_;
    return { map { split /\|/ } split /\n/, $self->answer(
        "SELECT key, (extract(epoch FROM made_at) * 1000000)::bigint FROM item WHERE round = $self->{round}") };
}

# {path}{key} = when the row of the ledger that says "delivered" was written.
sub ledger {
    my ($self) = @_;
    my %path_of = reverse %{ $self->{paths} };
    my %ledger;
    for (split /\n/, $self->answers(<<"SQL")) {
SELECT d.hook_id, o.data->>'key', (extract(epoch FROM d.modified_at) * 1000000)::bigint
FROM whisperer.delivery d JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id
WHERE d.state = 'delivered' AND (o.data->>'round')::int = $self->{round}
SQL
        my ($hook, $key, $at) = split /\|/;
        $ledger{ $path_of{$hook} }{$key} = $at;
    }
    return \%ledger;
}

# How many events were sent before all that their client's session had committed before them.
sub overtaken {
    my ($self, $got) = @_;
    my %place_of = map { my ($key, $client, $number) = split /\|/; $key => [ $client, $number ] } split /\n/, $self->answer(
        "SELECT key, client, row_number() OVER (PARTITION BY client ORDER BY id) FROM item WHERE round = $self->{round}");
    my @sent = sort { $a->[0] <=> $b->[0] } map { my $key = $_; map { [ $_->[3], $place_of{$key} // () ] } @{ $got->{$key} } } keys %$got;
    my (%seen, $overtaken);
    for (map { $_->[1] // () } @sent) {
        my ($client, $number) = @$_;
        my $seen = $seen{$client} // 0;
        $overtaken++ if $number > $seen + 1;
        $seen{$client} = max($seen, $number);
    }
    return $overtaken // 0;
}

sub compare {
    my ($self) = @_;
    my ($committed, $received, $ledger) = ($self->committed, $self->received, $self->ledger);
    my %row = (committed => scalar keys %$committed, map { $_ => 0 } qw(missing invented duplicates again slowest overtaken));
    for my $path (keys %{ $self->{paths} }) {
        my $got = $received->{$path} // {};
        $row{overtaken} += $self->overtaken($got) if $path =~ /ordered/;
        $row{missing} += grep { !$got->{$_} } keys %$committed;
        for my $key (keys %$got) {
            # Of some events the first attempt fails, and must be followed by another; see answers.mjs.
            my $needed = $path =~ /late-first/ && $got->{$key}[0][2] =~ /[012]$/ ? 2 : 1;
            $row{missing}++ if @{ $got->{$key} } < $needed && $committed->{$key};
            my @times = sort { $a <=> $b } map { $_->[0] } @{ $got->{$key} };
            my %ids = map { $_->[2] => 1 } @{ $got->{$key} };
            $row{recorded_twice}++ if keys %ids > 1;
            $row{duplicates} += max(@times - $needed, 0);
            $row{invented}++, next unless $committed->{$key};
            $row{slowest} = max($row{slowest}, ($times[0] - $committed->{$key}) / 1e6);
            # The ledger had it, and then an attempt was begun.
            my $entered = $ledger->{$path}{$key};
            $row{again}++ if $entered && grep { $_->[1] > $entered } @{ $got->{$key} };
        }
    }
    return \%row;
}

# --- one line of the table ----------------------------------------------------------------------

# A worker that ends with an error is started again later and later, but for a new server at once.
my $ends_between_restarts = 3;

# Tries the fault while the load runs.  tries: at most, unless WHISPERER_FAULT asks for it; mix: of the load; settings: during
# the fault; ends_worker: with an error; repeats: what was delivered may be sent again; is_ahead: what delivers had commits
# that the promoted server has not; sets_clock: no time can be told from the server's clock.
sub try_fault {
    my ($self, $what, $fault, %options) = @_;
    return if defined $ENV{WHISPERER_FAULT} && $what !~ /$ENV{WHISPERER_FAULT}/;
    my $tries = $ENV{WHISPERER_TRIES} // 1;
    $tries = $options{tries} if $options{tries} && $options{tries} < $tries && !defined $ENV{WHISPERER_FAULT};
    $self->{round}++;
    my %settings = %{ $options{settings} // {} };
    $self->set(%settings) if %settings;
    $self->worker;
    $self->start_load($options{mix} // 'mixed');
    for my $try (1 .. $tries) {
        $self->wait_for_rows(20);
        sleep moment(0, 0.3);
        $fault->($self);
        $self->wait_for_rows(1);
        $self->{node}->restart if $options{ends_worker} && $try % $ends_between_restarts == 0;
    }
    $self->stop_load;
    $self->settle;
    my $row = $self->compare;
    $self->reset_settings(keys %settings) if %settings;
    @{$row}{qw(what tries)} = ($what, $tries);
    $row->{slowest} = undef if $options{sets_clock};
    $self->show($row);
    cmp_ok($row->{committed}, '>', 0, "$what: there was a load");
    is($row->{missing}, 0, "$what: nothing is missing");
    is($row->{invented}, 0, "$what: nothing is invented") unless $options{is_ahead};
    is($self->{twofold} // 0, 0, "$what: no id stands for two bodies");
    is($row->{recorded_twice} // 0, 0, "$what: each row is one event") if $self->{keyed};
    is($row->{overtaken}, 0, "$what: what is ordered came in order") if grep { /ordered/ } keys %{ $self->{paths} };
    is($row->{again}, 0, "$what: what the ledger had is not sent again") unless $options{repeats} || $options{sets_clock};
    return $row;
}

# Milliseconds of the longest transaction of the load.
sub longest_transaction_ms {
    my ($self) = @_;
    my $longest = 0;
    for my $file (glob "$self->{folder}/times.*") {
        for (split /\n/, PostgreSQL::Test::Utils::slurp_file($file)) {
            my ($time, $lag) = (split)[ 2, 6 ];
            $longest = max($longest, ($time - $lag) / 1000) if $time =~ /^\d+$/;
        }
    }
    return $longest;
}

# Tells whoever runs the test, and the report.
sub report {
    my ($line) = @_;
    note $line;
    PostgreSQL::Test::Utils::append_to_file($ENV{WHISPERER_REPORT}, "$line\n") if $ENV{WHISPERER_REPORT};
}

sub show {
    my ($self, $row) = @_;
    my $slowest = defined $row->{slowest} ? sprintf('%.2f', $row->{slowest}) : '-';
    my $line = sprintf '| %-60s | %5d | %7d | %3d | %3d | %5d | %6s |', @{$row}{qw(what tries committed missing invented duplicates)}, $slowest;
    note 'fault, tries, committed, missing, invented, duplicates, slowest (s)' if $self->{round} == 1;
    report($line);
}

1;
