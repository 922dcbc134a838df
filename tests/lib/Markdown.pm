# Reads a page of the documentation: its blocks, the instructions in its comments, its headings and links.
#
# A page is Markdown.  Fenced blocks of sql, sh, python and js are commands: each is run, in the order of the page, or
# says in a comment before it why not.  The comments are instructions to this runner, and a reader does not see them:
#
#   <!-- not run: REASON -->          the next block is for other machines or people
#   <!-- output -->                   the next block is what the last command printed; "..." stands for anything
#   <!-- output of NAME -->           the same for what a background command has printed so far
#   <!-- background: NAME -->         the next block goes on running; its first line of output is waited for
#   <!-- stop: NAME -->               ends it
#   <!-- fails: SQLSTATE -->          the next block ends with this error
#   <!-- until: QUERY -->             waits until the query says true
#   <!-- file: NAME -->               the next block is a file
#   <!-- setup ... -->                SQL that the reader's database has and the test's lacks
#   <!-- setup sh ... -->             the same for the shell
#   <!-- on: NAME [as ROLE] -->       what follows is for that server, of several that the test has
#   <!-- printed on: NAME -->         the next thing done: the statement that was printed last is run on that server
#   <!-- part of: FILE -->            the next block stands in the file, which a test of its own runs
#   <!-- page: bare | gateway -->     no extension and no table yet; with a gateway at port 8080
#   <!-- reference, made by ... -->   nothing for the runner
package Markdown;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(page_items is_command page_faults page_anchors page_links);

my $known = qr/^(not run: \S.*|output|output of \w+|background: \w+|stop: \w+|fails: \w{5}|until: \S.*|file: [\w.]+|part of: [\w.\/]+|on: \w+(?: as \w+)?|printed on: \w+|setup\b.*|page: [\w ,]+|reference, .*)$/s;

# What a page has, in order: {kind: block, language, text, line} and {kind: comment, text, line}.
sub page_items {
    my ($text) = @_;
    my (@items, $block, $comment);
    my $number = 0;
    my $before = '';
    for my $line (split /\n/, $text) {
        $number++;
        if ($block) {
            if ($line =~ /^```\s*$/) { push @items, $block; undef $block }
            else { $block->{text} .= "$line\n" }
        } elsif ($comment) {
            $comment->{text} .= "\n" . ($line =~ s/\s*-->.*//r);
            if ($line =~ /-->/) { push @items, $comment; undef $comment }
        } elsif ($line =~ /^```(\w*)/) {
            $block = { kind => 'block', language => $1, text => '', line => $number };
        } elsif ($line =~ /^<!--\s*(.*?)\s*-->/) {
            push @items, { kind => 'comment', text => $1, line => $number };
        } elsif ($line =~ /^<!--\s*(.*)/) {
            $comment = { kind => 'comment', text => $1, line => $number };
        } elsif ($line =~ /^ {4,}\S/ && $before eq '') {
            push @items, { kind => 'indented', text => $line, line => $number };
        }
        $before = $line;
    }
    die "a block or comment has no end" if $block || $comment;
    $_->{known} = $_->{text} =~ $known ? 1 : 0 for grep { $_->{kind} eq 'comment' } @items;
    return @items;
}

sub is_command { return $_[0]{kind} eq 'block' && $_[0]{language} =~ /^(sql|sh|python|js)$/ }

# What is wrong with the form of a page, as "line: what".
sub page_faults {
    my ($text) = @_;
    my @faults;
    my $before = '';
    for my $item (page_items($text)) {
        my $at = "$item->{line}: ";
        if ($item->{kind} eq 'indented') { push @faults, "${at}an indented block: use a fence, with its language" }
        elsif ($item->{kind} eq 'comment') { push @faults, "${at}a comment that tests/lib/Markdown.pm does not know: $item->{text}" unless $item->{known} }
        elsif ($item->{language} !~ /^(sql|sh|python|js|go|text|json|http|ini|nginx)$/) { push @faults, "${at}a block without a language that is known" }
        elsif ($item->{language} eq 'go' && $before !~ /^part of/) { push @faults, "${at}Go is not run: say which file it is part of" }
        elsif ($before =~ /^not run/ && !is_command($item)) { push @faults, "${at}no command, so nothing to run" }
        $before = $item->{kind} eq 'comment' ? $item->{text} : '';
    }
    return @faults;
}

# Without code, where a bracket or # means something else.
sub prose { return $_[0] =~ s/^```.*?^```$//gmsr =~ s/`[^`\n]*`//gr }

# As GitHub makes them.
sub page_anchors {
    my ($text) = @_;
    return map { lc s/[^\w -]//gr =~ tr/ /-/r } ($text =~ s/^```.*?^```$//gmsr) =~ /^#+ (.*)/gm;
}

sub page_links {
    my ($text) = @_;
    my $prose = prose($text);
    return ($prose =~ /\]\(([^)\s]+)\)/g, $prose =~ /(?:src|srcset)="([^"]+)"/g);
}

1;
