# The house style as a failing test.  Each check prints "ok" or "not ok" and, if not, where and what to
# do.  Run it from the top of the checkout.
use strict;
use warnings;
use File::Find ();
use lib 'tests/lib';
use Markdown qw(page_faults page_anchors page_links);

my $failed = 0;

sub check {
    my ($what, $advice, @places) = @_;
    print @places ? 'not ok' : 'ok', " - $what\n";
    return unless @places;
    $failed++;
    print "    $_\n" for @places;
    print "    => $advice\n";
}

sub files {
    my ($pattern, @folders) = @_;
    my @found;
    File::Find::find({ no_chdir => 1, wanted => sub { push @found, $_ if -f && /$pattern/ } }, grep { -d } @folders);
    return sort @found;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "cannot read $file: $!";
    local $/;
    return <$in>;
}

# file:line of each line that matches; comments are left out unless asked for.
sub grep_lines {
    my ($pattern, $with_comments, @files) = @_;
    my @places;
    for my $file (@files) {
        my $number = 0;
        for my $line (split /\n/, slurp($file)) {
            $number++;
            (my $code = $line) =~ s{//.*}{} unless $with_comments;
            push @places, "$file:$number: $line" if ($with_comments ? $line : $code) =~ $pattern;
        }
    }
    return @places;
}

my @src = files(qr/\.(cpp|h)$/, 'src');
my @engine = files(qr/\.(cpp|h)$/, 'worker');
my @unit = files(qr/\.(cpp|h)$/, 'tests/unit', 'tests/fuzz', 'tests/bench');
my @gateway = files(qr/\.(cpp|h)$/, 'gateway/src');
my @console = files(qr/\.(js|css|html)$/, 'gateway/console');
my @cpp = (@src, @engine, @gateway, @unit);
my @sql = files(qr/\.sql$/, 'src/install');
my @scripts = files(qr/(\.(pl|pm|mjs|py|spec)$|\/(run|setup|tree|demo|drain|isolation|soak|load|console|mutants)$|\.sh$)/, 'tests', 'examples');

# --- layers -------------------------------------------------------------------------------------
check('includes name the path from the top of the checkout', 'Write "src/ROOM/NAME.h" or "worker/ROOM/NAME.h"; PostgreSQL headers go into src/pg.h.',
    grep { !m{^src/pg\.h:} } grep_lines(qr{#include "(?!(src|worker|tests/\w+)/)}, 1, @src, @engine, @unit));
# Lowest first, as in the map of the README.  Of the files at the top module.cpp comes after all rooms, the others
# before.
sub upward_includes {
    my ($side, @rooms) = @_;
    my %place = map { $rooms[$_] => $_ } 0 .. $#rooms;
    my @upward;
    for my $file (grep { !m{^src/module\.cpp$} } files(qr/\.(cpp|h)$/, $side)) {
        my $room = $file =~ m{^$side/(\w+)/} ? $1 : '';
        my $own = $room ? $place{$room} : -1;
        defined $own or push(@upward, "$file: its room has no place in the order"), next;
        for (grep_lines(qr{#include "$side/\w+/}, 1, $file)) {
            my ($other) = m{#include "$side/(\w+)/};
            push @upward, $_ if ($place{$other} // @rooms) > $own;
        }
    }
    return @upward;
}
check('an include of src goes down or stays in its room', 'Move what is needed to the room where it belongs; the order is in src/README.md.',
    upward_includes('src', qw(base secrets processes record hooks api ledger functions retention read again loop)));
check('an include of worker goes down or stays in its room', 'Move what is needed to the room where it belongs; the order is in worker/README.md.',
    upward_includes('worker', qw(base rules wire dispatch door)));
check('src knows of worker only the door', 'Include worker/engine.h, nothing else of worker.',
    grep { !m{"worker/engine\.h"} } grep_lines(qr{#include "worker/}, 1, @src));
check('worker knows nothing of src', 'The engine is called and calls nobody: pass values through engine.h.',
    grep_lines(qr{#include ".*src/}, 1, @engine));
check('worker includes no PostgreSQL header', 'The engine knows no PostgreSQL.',
    grep_lines(qr{#include ["<](postgres|c\.h|fmgr|miscadmin|access/|utils/|storage/|executor/)}, 1, @engine));
check('the gateway knows nothing of the extension', 'Its only door is SQL.',
    grep_lines(qr{#include ".*(src|worker)/}, 1, @gateway));
check('json.hpp is included in few files', 'It costs seconds per file; parse in one place.',
    do { my @users = grep { slurp($_) =~ /nlohmann\/json/ } @engine; @users > 4 ? @users : () });

# --- size ---------------------------------------------------------------------------------------
check('no file is longer than 500 lines', 'Split it by what it is for.',
    grep { defined } map { my $lines = () = slurp($_) =~ /\n/g; $lines > 500 ? "$_: $lines lines" : undef } @cpp, grep({ !m{/released/} } @sql), @scripts, @console);

# A function body: from a line that ends in "{" and does not start with white space or a keyword of
# another block, to the next "}" in the first column.
my @long;
for my $file (@cpp) {
    my ($number, $begin, $name) = (0);
    for my $line (split /\n/, slurp($file)) {
        $number++;
        if ($line =~ /^[^\s\/#}].*\)[^;]*\{$/ && $line !~ /^(namespace|struct|class|enum|extern)\b/) {
            ($begin, $name) = ($number, $line);
        } elsif ($line =~ /^\}/ && $begin) {
            push @long, "$file:$begin: " . ($number - $begin) . " lines: $name" if $number - $begin > 70;
            $begin = undef;
        }
    }
}
check('no function is longer than 70 lines', 'Name its parts and call them.', @long);
check('no line of C++ is longer than 100 columns', 'Run clang-format.',
    grep { defined } map { my $file = $_; my $n = 0; map { $n++; length > 100 ? "$file:$n" : () } split /\n/, slurp($file) } @cpp);

# --- words --------------------------------------------------------------------------------------
check('no thread of our own, nothing aborts', 'The engine never waits and never kills its host.',
    grep_lines(qr/std::thread|std::async|\babort\s*\(|std::terminate\s*\(|\bassert\s*\(/, 0, @src, @engine));
check('nothing is left to do', 'Do it, or say in the documentation that it is not done.',
    grep_lines(qr/\b(TO)DO\b|\b(FIX)ME\b|\b(XX)X\b/, 1, @cpp, @sql, @scripts, @console));
check('the console takes no text for markup', 'Make elements and text nodes, as dom.js does; no library from elsewhere.',
    grep_lines(qr/\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function|DOMParser)\b|\bon\w+=|style=/, 0, @console));
check('the console asks nobody but its own server', 'Serve it from gateway/console.',
    grep { !m{http://www\.w3\.org/(2000/svg|1999/xhtml)} } grep_lines(qr/https?:\/\/\w/, 1, @console));
check('PG_TRY stands in one file', 'Use src/base/boundary.h.',
    grep { !m{^src/base/boundary\.cpp:} } grep_lines(qr/PG_(TRY|CATCH|ENSURE_ERROR)/, 0, @src));
check('statements are run in one file', 'Use run_query or run_plan of src/base/transaction.h, which keep the memory context.',
    grep { !m{^src/base/transaction\.cpp:} } grep_lines(qr/\bSPI_(exec\w*|prepare\w*|cursor_open\w*)\(/, 0, @src));
check('pg.h settles what differs between versions of PostgreSQL', 'Put what differs into src/pg.h.',
    grep { !m{^src/pg\.h:} } grep_lines(qr/PG_VERSION_NUM|PG_MAJORVERSION/, 0, @src));
check('no object with a constructor at namespace scope', 'Make it in the worker, free it at exit.',
    grep_lines(qr/^(static )?(const )?std::(string|vector|map|unordered_map|deque|mutex|unique_ptr|shared_ptr)\b[^()]*[;{=]/, 0, @src, @engine));
check('every file opens with what it is for', 'Begin with a comment of 1 to 10 lines.',
    grep { slurp($_) !~ m{\A(//|/\*|--|#|<!|"""|\\echo)} } @cpp, @sql, @console, grep { !/\.spec$/ } @scripts);

# --- what is built ------------------------------------------------------------------------------
if (-e 'whisperer.so') {
    my @exported = map { (split)[2] } split /\n/, `nm -D --defined-only whisperer.so`;
    check('the library exports only what PostgreSQL calls', 'Hidden visibility; PGDLLEXPORT on entry points only.',
        grep { !/^(Pg_magic_func|_PG_init|pg_finfo_whisperer_\w+|whisperer_(\w+))$/ } @exported);
    check('the library has what it calls of its own', 'Define it as it is declared: a linker says nothing of it, and PostgreSQL does not load such a library.',
        grep { /whisperer/ } split /\n/, `nm -uC whisperer.so`);
    my %entry = map { $_ => 1 } map { slurp($_) =~ /'MODULE_PATHNAME', '(\w+)'/g } @sql;
    my %code = map { $_ => 1 } map { /^pg_finfo_(\w+)$/ ? $1 : () } @exported;
    check('every C function of the install script is there', 'A released symbol is never removed.', grep { !$code{$_} } sort keys %entry);
}

# --- agreement ----------------------------------------------------------------------------------
my ($version) = slurp('Makefile') =~ /^EXTVERSION = (\S+)/m;
check("control file, META.json, CHANGELOG.md and the Debian packages say $version", 'One version everywhere.',
    (slurp('whisperer.control') =~ /default_version = '\Q$version\E'/ ? () : 'whisperer.control'),
    (map { slurp('META.json') =~ /$_/ ? () : "META.json: $_" } qr/"version": "\Q$version\E\.0",\n    "maintainer"/,
        qr/"file": "whisperer--\Q$version\E\.sql"/, qr/"docfile": "README\.md",\n\s+"version": "\Q$version\E\.0"/),
    (slurp('CHANGELOG.md') =~ /^## \Q$version\E\b/m ? () : 'CHANGELOG.md'),
    (slurp('debian/changelog') =~ /\Awhisperer \(\Q$version\E-/ ? () : 'debian/changelog'),
    (slurp('debian/whisperer-gateway.1') =~ /^\.TH .*"whisperer \Q$version\E"/m ? () : 'debian/whisperer-gateway.1'));
check('the gateway\'s manual page has its options', 'Say in debian/whisperer-gateway.1 what --help says.',
    do { (my $page = slurp('debian/whisperer-gateway.1')) =~ tr/\\//d;
         my @options = slurp('gateway/src/options.cpp') =~ /"(--[a-z-]+)"/g;
         (@options > 5 ? () : 'gateway/src/options.cpp: where are the options?', grep { index($page, $_) < 0 } @options) });

# The words of an error are for people.  Who decides by them does something else when they are worded anew, and says nothing.
my $word = qr/\berror"?\s*(=|<>|!=|!?~\*?|(NOT )?LIKE|(NOT )?IN|IS (NOT )?DISTINCT FROM)\s*\(?E?('|"$)|CASE (\w+\.)?error\b|\b(starts_with|strn?cmp|strstr|left|position|strpos)\([^()]*\berror\b|\berror(\(\))?\.(starts_with|ends_with|find|contains|compare)\(/;
check('nothing is decided by the words of an error', 'Give it a number in WhispererErrorCode (worker/engine.h), and ask for error_code.',
    grep_lines($word, 0, @src, @engine, files(qr/\.(cpp|h)$/, 'gateway/src'), files(qr/\.sql$/, 'src/install/schema', 'src/install/api', 'recorder')));
check('the numbers of errors are said where people look', 'Say in the comment of the column and in docs/reference/relations.in what it stands for.',
    do { my @numbers = grep { $_ } slurp('worker/engine.h') =~ /^    WhispererError\w+ = (\d+)/mg or die 'where are the numbers?';
         my ($comment) = slurp('src/install/schema/060-delivery.sql') =~ /delivery\.error_code IS\n(.*)/ or die 'where is the comment?';
         my $page = slurp('docs/reference/relations.in');
         map { ($comment =~ /\b$_: / ? () : "the comment: $_"), ($page =~ /^\| $_ \|/m ? () : "docs/reference/relations.in: $_") } @numbers });

my $api = join "\n", map { slurp($_) } @sql;
my @silent;
while ($api =~ /CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|VIEW) whisperer\.(\w+)/g) {
    my ($kind, $name) = ($1, $2);
    next if $name =~ /_as$/ || $name =~ /^(request_delivery|refuse_delivery|require_range|set_privilege|set_paused|require_hook|my_incarnation)$/;
    push @silent, "$kind $name" unless $api =~ /COMMENT ON $kind whisperer\.$name\b/;
}
check('every public function and view has a COMMENT', '\df+ shows it: what it does, units, errors.', @silent);
check('no literal of an install script depends on standard_conforming_strings', 'Write [[:space:]] for \\s and [.] for \\., or E\'...\'.',
    grep_lines(qr/^(?!\\echo )(?!.*\bE').*\\/, 0, grep { !m{/released/} } files(qr/\.sql$/, 'src/install')));
check('an install script adopts nothing', 'No IF NOT EXISTS, no OR REPLACE: somebody may have planted the object.',
    grep_lines(qr/IF NOT EXISTS(?! \()|OR REPLACE/, 0, grep { !m{/released/\w+--[\d.]+--} } @sql));
# A README inside of a folder names files by their path from there; a name without a path may stand for
# one in any room, and a star for several.
sub is_there {
    my ($name, @folders) = @_;
    return grep { -e } map { glob "$_/$name" } '.', @folders, $name =~ m{/} ? () : map { "$_/*" } @folders;
}
my %folders_of = (src => ['src'], worker => ['worker'], gateway => ['gateway/src', 'gateway'], tests => ['tests', 'sql']);
check('documents name files that are there', 'Name the file that has it now.',
    (map { my $document = $_; map { -e $_ ? () : "$document: $_" } slurp($document) =~ /`((?:tests|sql|src|worker|gateway|docs|examples)\/[\w.\/-]+\.\w+)`/g }
        grep { -e } 'SECURITY.md', 'README.md', 'CONTRIBUTING.md', glob 'docs/*.md'),
    (map { my $folder = $_; map { is_there($_, @{$folders_of{$folder}}) ? () : "$folder/README.md: $_" }
        slurp("$folder/README.md") =~ /`((?!\/)[\w.\/*-]+\.(?:cpp|h|sql|pl|pm|mjs|cmake|json|md|\*))`/g } sort keys %folders_of));
# --- pages ---------------------------------------------------------------------------------------
my @pages = ('README.md', 'CONTRIBUTING.md', glob 'docs/*.md examples/README.md examples/*/README.md');
check('the README has at most 200 lines', 'Move what is not for a stranger into docs/.',
    grep { my $lines = () = slurp($_) =~ /\n/g; $lines > 200 } 'README.md');
check('pages hold blocks and comments that the suite docs knows', 'See tests/lib/Markdown.pm.',
    map { my $page = $_; map { "$page:$_" } page_faults(slurp($page)) } @pages);
my %anchors;
sub is_linked { # page, link
    my ($page, $link) = @_;
    my ($file, $anchor) = split /#/, $link, 2;
    my $target = $file eq '' ? $page : ($page =~ m{/} ? $page =~ s{[^/]*$}{}r : '') . $file;
    1 while $target =~ s{[^/]+/\.\./}{};
    return 0 unless -e $target;
    return 1 unless defined $anchor && $target =~ /\.md$/;
    $anchors{$target} //= { map { $_ => 1 } page_anchors(slurp($target)) };
    return $anchors{$target}{$anchor};
}
check('links of documents lead somewhere', 'Mend the path or the heading.',
    map { my $page = $_; map { is_linked($page, $_) ? () : "$page: $_" } grep { !/^(https?|mailto):/ } page_links(slurp($page)) }
        @pages, 'SECURITY.md', 'CHANGELOG.md', glob '{src,worker,gateway,tests}/README.md');
check('released scripts are frozen', 'Change the schema by a delta in src/install/updates.',
    -e 'src/install/released/SHA256SUMS' ? grep { !/: OK$/ } split /\n/, `cd src/install/released && sha256sum -c SHA256SUMS 2>&1` : ());

if (`clang-format --version 2>/dev/null` =~ /version (\d+)/) {
    check('clang-format changes nothing', "Run clang-format -i (made with version 14; this is $1).",
        $1 == 14 ? grep { system("clang-format --dry-run -Werror '$_' 2>/dev/null") != 0 } @cpp : ());
}

exit($failed > 0 ? 1 : 0);
