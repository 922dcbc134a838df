"""The changes that may be made to a source file, found in its text.

The code is laid out by clang-format, so spaces tell an operator from a template's bracket and a statement
begins on a line of its own.  The compiler has the last word: what it refuses is not a mutant.  Every change
keeps the number of lines, because messages carry line numbers into the object code.
"""
import collections
import dataclasses
import hashlib
import re


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str        # from the top of the checkout
    start: int       # what is replaced, as offsets
    end: int
    text: str
    operator: str
    line: int        # the first line that changes, from 1
    old: tuple       # the lines that change, stripped
    new: tuple
    nth: int = 0     # of those in the file that read the same

    @property
    def key(self):
        """Names it as long as its lines stay as they are, wherever file and lines move."""
        words = [base_name(self.file), *self.old, '', *self.new] + ([str(self.nth)] if self.nth else [])
        return hashlib.sha1('\0'.join(words).encode()).hexdigest()[:12]

    def apply(self, source):
        return source[:self.start] + self.text + source[self.end:]


def base_name(file):
    return file.rsplit('/', 1)[-1]


def mask(source):
    """The same text with comments, contents of strings and preprocessor lines blanked."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
        r'|^[ \t]*#(?:\\\n|[^\n])*', re.S | re.M)

    def blank(match):
        text = match.group()
        if text[0] in '"R':
            return '"' + re.sub(r'[^\n]', '_', text[1:-1]) + '"'
        if text[0] == "'":
            return "'" + '_' * (len(text) - 2) + "'"
        return re.sub(r'[^\n]', ' ', text)

    return pattern.sub(blank, source)


def closing(code, at):
    """The offset of the bracket that closes the one at the offset; -1: none."""
    depth = 0
    for i in range(at, len(code)):
        if code[i] in '([{':
            depth += 1
        elif code[i] in ')]}':
            depth -= 1
            if depth == 0:
                return i
    return -1


class Finder:
    """Collects the mutants of one file."""

    def __init__(self, file, source):
        self.file, self.source, self.code = file, source, mask(source)
        self.found, self.seen = [], set()
        self.begins = [0] + [m.end() for m in re.finditer('\n', source)]

    def add(self, operator, start, end, text):
        # Without the lines it would shift what follows.
        text += '\n' * (self.source.count('\n', start, end) - text.count('\n'))
        if (start, end, text) in self.seen or self.source[start:end] == text:
            return
        self.seen.add((start, end, text))
        first = self.source.rfind('\n', 0, start) + 1
        last = self.source.find('\n', end)
        old = self.source[first:last].split('\n')
        new = (self.source[first:start] + text + self.source[end:last]).split('\n')
        line = self.source.count('\n', 0, first) + 1
        while old and new and old[0] == new[0]:
            old, new, line = old[1:], new[1:], line + 1
        strip = lambda lines: tuple(one.strip() for one in lines if one.strip())
        self.found.append(Mutant(self.file, start, end, text, operator, line, strip(old), strip(new)))

    def all(self):
        for find in (self.operators, self.words, self.numbers, self.conditions, self.arguments,
                     self.statements, self.returns):
            find()
        times = collections.Counter()
        for i, mutant in enumerate(self.found):
            self.found[i] = dataclasses.replace(mutant, nth=times[mutant.old, mutant.new])
            times[mutant.old, mutant.new] += 1
        return self.found

    def replace_each(self, operator, pattern, replacement):
        for m in re.finditer(pattern, self.code, re.M):
            text = replacement(m) if callable(replacement) else replacement
            if text is not None:
                self.add(operator, m.start(), m.end(), text)

    def operators(self):
        for operator, pairs in {
            'boundary': [('<', '<='), ('<=', '<'), ('>', '>='), ('>=', '>')],
            'equality': [('==', '!='), ('!=', '==')],
            'logic': [('&&', '||'), ('||', '&&')],
            'arithmetic': [('+', '-'), ('-', '+'), ('*', '/'), ('/', '*'), ('%', '*'), ('+=', '-='), ('-=', '+=')],
            'bits': [('&', '|'), ('|', '&'), ('|=', '='), ('<<', '>>'), ('>>', '<<')],
        }.items():
            for old, new in pairs:
                self.replace_each(operator, rf'(?<=[\w)\]"\'>}}]) {re.escape(old)}(?=[ \n])', ' ' + new)
        self.replace_each('arithmetic', r'\+\+(?=\w)|--(?=\w)', lambda m: '--' if m.group() == '++' else '++')
        self.replace_each('negation', r'(?<=[( ])!(?=[\w(:])', '')

    def words(self):
        for pair in ('std::min std::max', 'Min( Max(', 'front() back()', 'any_of all_of', 'none_of any_of',
                     'chrono::ceil chrono::floor', 'lower_bound upper_bound', 'starts_with ends_with',
                     '.find( .rfind(', 'pop_front pop_back', '.begin() .end()', 'true false'):
            one, other = pair.split()
            for old, new in ((one, other), (other, one)):
                edge = r'\b' if old[-1].isalnum() else ''
                self.replace_each('word', rf'(?<!\w){re.escape(old)}{edge}', new)

    def numbers(self):
        number = r"(?<![\w.'])(\d[\d']*|0[xX][0-9a-fA-F]+)(\.\d+)?([uUlL]*)(?![\w.'])"
        plain = lambda m: int(m[1].replace("'", ''), 0 if m[1][:2].lower() == '0x' else 10)
        # A buffer of one more byte is as good.
        is_buffer = lambda m: re.search(r'\bchar \w+\[$', self.code[:m.start()][-80:])
        self.replace_each('number', number, lambda m: None if is_buffer(m) else f'{plain(m) + 1}{m[2] or ""}{m[3]}')
        self.replace_each('number', number, lambda m: f'0{m[2] and ".0" or ""}{m[3]}' if plain(m) else None)

    def conditions(self):
        leaves = r'\s*\{?\s*(?:return|continue|break|throw|ereport|elog|refuse)\b'
        for m in re.finditer(r'\b(if|while) \(', self.code):
            open_at, close_at = m.end() - 1, closing(self.code, m.end() - 1)
            if close_at < 0:
                continue
            condition = self.source[open_at + 1:close_at]
            self.add('condition', open_at, close_at + 1, f'(!({condition}))')
            if m[1] == 'if' and re.match(leaves, self.code[close_at + 1:]):
                self.add('guard', open_at, close_at + 1, f'(false && ({condition}))')
        value = r'([^?;=(){}]+|[^?;=(){}]*\([^?;(){}]*\)[^?;=(){}]*)'
        for m in re.finditer(rf'(?:(?<=[^=!<>]= )|(?<=return )|(?<=\()){value} \? ', self.code):
            self.add('condition', m.start(1), m.end(1), f'!({self.source[m.start(1):m.end(1)]})')

    def arguments(self):
        simple = re.compile(r'\s*[&*]?[\w:.>-]+(\(\))?\s*$')
        for m in re.finditer(r'[\w>]\(', self.code):
            close_at = closing(self.code, m.end() - 1)
            if close_at < 0 or close_at - m.end() > 400:
                continue
            cuts, depth = [m.end()], 0
            for i in range(m.end(), close_at):
                depth += (self.code[i] in '([{') - (self.code[i] in ')]}')
                if self.code[i] == ',' and depth == 0:
                    cuts.append(i + 1)
            cuts.append(close_at + 1)
            for a, b, c in zip(cuts, cuts[1:], cuts[2:]):
                one, other = self.source[a:b - 1], self.source[b:c - 1]
                if simple.match(one) and simple.match(other) and one.strip() != other.strip():
                    swapped = one.replace(one.strip(), other.strip()) + ',' + other.replace(other.strip(), one.strip())
                    self.add('arguments', a, c - 1, swapped)

    def statements(self):
        call = re.compile(r'(?:\(void\) ?)?(?!(?:if|for|while|switch|return|sizeof|throw|delete|static_assert|'
                          r'catch|PG_\w+|whisperer_\w+_fn)\b)[A-Za-z_][\w:]*(?:<[\w:]+>)?'
                          r'(?:(?:\.|->)\w+|\[[^\]]*\]|\([^()]*\)(?=\.|->))*\(')
        assignment = re.compile(r'\*?[A-Za-z_(][^\s=;]*(?:\[[^\]\n]*\][^\s=;]*)? (?:[-+|&^*/%]|<<|>>)?= ')
        step = re.compile(r'(?:\+\+|--)\w')
        for at, line in self.statement_lines():
            kind = ('call' if call.match(line) else 'assignment' if assignment.match(line) else
                    'assignment' if step.match(line) else None)
            end = self.statement_end(at) if kind else -1
            if end >= 0:
                self.add(f'{kind} deleted', at, end, ';')

        # What is made for its constructor and destructor alone: nobody speaks of it again.
        for m in re.finditer(r'^ +((?:const )?[A-Z]\w*(?:<[^;]*>)? (\w+)(?:\([^;\n]*\)|\{[^;\n]*\})?;)', self.code, re.M):
            end = self.code.find('\n}', m.end())
            if not re.search(rf'\b{m[2]}\b', self.code[m.end():end]):
                self.add('declaration deleted', m.start(1), m.end(1), ';')

    def statement_lines(self):
        """Offset and text of the lines that begin a statement within a function."""
        before = ';'
        for begin in self.begins:
            line = self.code[begin:].split('\n', 1)[0]
            text = line.strip()
            if not text:
                continue
            if line[0] == ' ' and (before[-1] in ';{}:)' or before.endswith('else')):
                yield begin + len(line) - len(line.lstrip()), text
            before = text

    def statement_end(self, at):
        depth = 0
        for i in range(at, len(self.code)):
            if self.code[i] in '([{':
                depth += 1
            elif self.code[i] in ')]}':
                depth -= 1
                if depth < 0:
                    return -1
            elif self.code[i] == ';' and depth == 0:
                return i + 1
        return -1

    def returns(self):
        for m in re.finditer(r'\breturn ([^;]+);', self.code):
            value = self.source[m.start(1):m.end(1)]
            if self.returns_bool(m.start()):
                if value not in ('true', 'false'):
                    self.add('return value', m.start(1), m.end(1), f'!({value})')
            elif value not in ('{}', 'nullptr', '0'):
                self.add('return value', m.start(1), m.end(1), '{}')
        # The last statement of a block that depends on a condition.
        for m in re.finditer(r'^( +)((?:return\b[^;]*|break|continue|throw\b[^;]*);)\n( +)\}', self.code, re.M):
            opened = self.code.rfind('\n' + m[3] + 'if ', 0, m.start())
            if opened >= 0 and not re.search(rf'\n {{0,{len(m[3])}}}[^ \n]', self.code[opened + 2 + len(m[3]):m.start()]):
                self.add('early return', m.start(2), m.end(2), ';')

    def returns_bool(self, at):
        header = re.compile(r'^(?: {4})?(?:\w[\w:<>*&, ]*[ *&])?[\w:~]+\([^;{}]*\)[ \w]*\{$', re.M)
        last = None
        for m in header.finditer(self.code, 0, at):
            last = m
        return last is not None and re.search(r'(^|\s)bool\s', last.group().split('(')[0]) is not None


def mutants_of(file, source):
    return Finder(file, source).all()
