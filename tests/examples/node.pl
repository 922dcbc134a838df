# Node.js with pg, as its page says; npm fetches pg where it can.
use strict;
use warnings;
use Test::More;
use Pages;
use PostgreSQL::Test::Utils;

my $folder = top() . '/examples/node';
plan skip_all => 'Node.js with pg: there is no npm' unless run_log([ 'sh', '-c', 'command -v npm' ]);
plan skip_all => 'Node.js with pg: npm cannot fetch pg'
    unless run_log([ 'timeout', '120', 'npm', 'install', '--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund',
        '--fetch-retries=0', '--cache', PostgreSQL::Test::Utils::tempdir('npm'), '--prefix', $folder ]);

sub look_further {
    my ($page) = @_;
    is($page->{node}->safe_psql('postgres', q(SELECT string_agg(event_type || ' ' || object_id, ',' ORDER BY id) FROM whisperer.outbox)),
        'package-created 1,package-shipped 1', 'what was rolled back was never recorded; both events have their key');
    my $status = $page->run_language('sh', <<'SH');
cd examples/node
node --input-type=module -e '
import pg from "pg";
import { deliveries } from "./whisperer.mjs";
const client = new pg.Client({ host: process.env.PGHOST });
await client.connect();
const { rows } = await client.query("SELECT id FROM whisperer.outbox ORDER BY id");
for (const { id } of rows) console.log(JSON.stringify(await deliveries(client, id)));
await client.end();'
SH
    is($status, 0, 'deliveries are looked at') or diag($page->{output});
    my $one = '[{"hook_id":"1","state":"delivered","retry_count":1,"response_http_status":200,"error":null}]';
    is($page->{output}, "$one\n$one\n", 'and both succeeded');
}

run_page('examples/node/README.md', after => \&look_further);
done_testing();
