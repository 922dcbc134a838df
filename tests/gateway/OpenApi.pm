# Holds answers to a description of an API: is the status one that is described, and does the body have
# the form that is.  As much of JSON Schema as our description uses.
package OpenApi;

use strict;
use warnings;
use B ();
use JSON::PP ();

sub new { my ($class, $document) = @_; return bless { document => $document }, $class }

sub document { return $_[0]{document} }

# Every "METHOD path" that is described.
sub operations {
    my ($self) = @_;
    my @all;
    for my $path (keys %{ $self->{document}{paths} }) {
        push @all, map { uc($_) . " $path" } grep { /^(?:get|put|post|patch|delete)$/ } keys %{ $self->{document}{paths}{$path} };
    }
    return sort @all;
}

# {reference} or the thing itself.
sub resolve {
    my ($self, $thing) = @_;
    while (ref $thing eq 'HASH' && exists $thing->{'$ref'}) {
        my @steps = split m{/}, $thing->{'$ref'} =~ s{^#/}{}r;
        $thing = $self->{document};
        $thing = $thing->{$_} // die "nothing at $_" for @steps;
    }
    return $thing;
}

# The description of what is at a path, and its template; a template without parameters goes before others.
sub path_item {
    my ($self, $path) = @_;
    $path =~ s/\?.*//s;
    my $paths = $self->{document}{paths};
    return ($paths->{$path}, $path) if $paths->{$path};
    for my $template (sort keys %$paths) {
        my $pattern = join '[^/]+', map { quotemeta } split /\{\w+\}/, $template, -1;
        $pattern = quotemeta('/console/') . '.*' if $template eq '/console/{path}';
        return ($paths->{$template}, $template) if $path =~ /\A$pattern\z/;
    }
    return;
}

# What is not as described, or nothing.  What has no description is not looked at.
sub fault_of {
    my ($self, $method, $path, $answer) = @_;
    my ($item, $template) = $self->path_item($path);
    my $operation = $item && $item->{ lc($method eq 'HEAD' ? 'GET' : $method) };
    return if !$operation || $answer->{status} =~ /^(?:408|414|431)$/;
    $self->{seen}{ uc($method) . " $template" }{ $answer->{status} }++;
    my $response = $self->resolve($operation->{responses}{ $answer->{status} })
        // return "status $answer->{status} is not described; body: $answer->{content}";
    return 'there is no X-Request-Id' unless $answer->{headers}{'x-request-id'};
    return if $method eq 'HEAD';
    my $content = $response->{content}{ $answer->{headers}{'content-type'} // '' } // $response->{content}{'application/json'};
    return if !$content || !$content->{schema};
    return if length $answer->{content} >= $Gateway::parsed_bytes_max;
    return "the body is not JSON: $answer->{content}" unless exists $answer->{json};
    return $self->mismatch($answer->{json}, $content->{schema}, 'body');
}

# The statuses that an operation has answered with so far.
sub seen { my ($self, $operation) = @_; return sort keys %{ $self->{seen}{$operation} // {} } }

sub type_of {
    my ($value) = @_;
    return 'null' unless defined $value;
    return 'boolean' if JSON::PP::is_bool($value);
    return 'array' if ref $value eq 'ARRAY';
    return 'object' if ref $value eq 'HASH';
    my $flags = B::svref_2object(\$value)->FLAGS;
    return 'string' if $flags & B::SVf_POK || ref $value && !$value->isa('Math::BigFloat');
    return $value == int $value ? 'integer' : 'number';
}

sub mismatch {
    my ($self, $value, $schema, $where) = @_;
    $schema = $self->resolve($schema);
    my $type = type_of($value);
    if (defined(my $wanted = $schema->{type})) {
        my @types = ref $wanted ? @$wanted : $wanted;
        return "$where is $type, not @types" unless grep { $_ eq $type || ($_ eq 'number' && $type eq 'integer') } @types;
    }
    return "$where is not the constant" if exists $schema->{const} && ($value // '') ne $schema->{const};
    if (my $choices = $schema->{enum}) {
        return "$where is " . ($value // 'null') . ", not one of the choices"
            unless grep { defined $_ ? defined $value && $_ eq $value : !defined $value } @$choices;
    }
    return "$where does not match $schema->{pattern}" if $type eq 'string' && $schema->{pattern} && $value !~ /$schema->{pattern}/;
    if ($type eq 'integer' || $type eq 'number') {
        return "$where is too small" if defined $schema->{minimum} && $value < $schema->{minimum};
        return "$where is too large" if defined $schema->{maximum} && $value > $schema->{maximum};
    }
    return "$where is no time: $value" if $type eq 'string' && ($schema->{format} // '') eq 'date-time'
        && $value !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
    return $self->mismatch_of_object($value, $schema, $where) if $type eq 'object';
    if ($type eq 'array' && $schema->{items}) {
        for my $i (0 .. $#$value) {
            my $fault = $self->mismatch($value->[$i], $schema->{items}, "$where\[$i]");
            return $fault if $fault;
        }
    }
    return;
}

sub mismatch_of_object {
    my ($self, $value, $schema, $where) = @_;
    for (@{ $schema->{required} // [] }) { return "$where lacks $_" unless exists $value->{$_} }
    for my $name (sort keys %$value) {
        my $rule = $schema->{properties}{$name} // $schema->{additionalProperties} // next;
        return "$where has an unknown member $name" if JSON::PP::is_bool($rule) && !$rule;
        my $fault = ref $rule eq 'HASH' ? $self->mismatch($value->{$name}, $rule, "$where.$name") : undef;
        return $fault if $fault;
    }
    return;
}

1;
