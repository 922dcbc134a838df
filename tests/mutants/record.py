"""What became of mutants: lines of JSON that a later run goes on from, and the report that is made of them."""
import difflib
import json
import pathlib

from changes import base_name


class Record:
    """The results file.  A mutant is known by its text, so lines may move; the last line of one counts."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.results = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                result = json.loads(line)
                self.results[result['key']] = result

    def get(self, mutant):
        return self.results.get(mutant.key)

    def add(self, mutant, status, by='', seconds=0.0):
        result = {'key': mutant.key, 'file': mutant.file, 'line': mutant.line, 'operator': mutant.operator,
                  'old': mutant.old, 'new': mutant.new, 'status': status, 'by': by, 'seconds': round(seconds, 1)}
        self.results[mutant.key] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open('a') as out:
            out.write(json.dumps(result) + '\n')
        return result


def read_equivalents(path):
    """Reasons by what they speak of: file name, old lines, new lines."""
    reasons, file, old, new, reason = {}, '', [], [], []

    def end():
        if old or new:
            reasons[file, tuple(old), tuple(new)] = ' '.join(reason)

    for line in pathlib.Path(path).read_text().splitlines() + ['']:
        if line.startswith('#'):
            continue
        if not line.strip():
            end()
            old, new, reason = [], [], []
        elif line.startswith('-'):
            old.append(line[1:].strip())
        elif line.startswith('+'):
            new.append(line[1:].strip())
        elif line.startswith('  '):
            reason.append(line.strip())
        else:
            file = base_name(line.strip())
    return reasons


def reason_for(reasons, result):
    return reasons.get((base_name(result['file']), tuple(result['old']), tuple(result['new'])))


def short(result):
    """The change in one line: the part of the first line that differs."""
    old, new = ' '.join(result['old']), ' '.join(result['new'])
    if new.split('//')[0].strip() == ';':
        return f'{old}  deleted'
    match = difflib.SequenceMatcher(None, old, new, autojunk=False)
    first = next((o for o in match.get_opcodes() if o[0] != 'equal'), ('', 0, 0, 0, 0))
    begin = max(0, first[1] - 30)
    return f'{old[begin:begin + 70]}  ->  {new[begin:begin + 70]}'


def line_of(result, reasons):
    place = f"{result['file']}:{result['line']}"
    if result['status'] == 'survived':
        reason = reason_for(reasons, result)
        ending = f'equivalent: {reason}' if reason is not None else 'SURVIVED'
    else:
        ending = f"noticed: {result['by']}"
    return f'{place}  {short(result)}  {ending}'


def diff_of(result):
    lines = [f"--- {result['file']}:{result['line']} ({result['operator']})"]
    lines += [f'-    {line}' for line in result['old']] + [f'+    {line}' for line in result['new']]
    return '\n'.join(lines)


def summary(results, reasons):
    """The last lines of a report, and the ratio (None: nothing was tried)."""
    noticed = [r for r in results if r['status'] == 'noticed']
    survived = [r for r in results if r['status'] == 'survived']
    left = [r for r in survived if reason_for(reasons, r) is None]
    count = lambda status: sum(r['status'] == status for r in results)
    tried = len(noticed) + len(left)
    ratio = len(noticed) / tried if tried else None
    lines = [diff_of(r) + '\n' for r in left]
    lines.append(f"not counted: {count('refused')} that do not compile, {count('same')} with equal object code, "
                 f"{len(survived) - len(left) + count('listed')} listed as equivalent")
    lines.append(f"noticed {len(noticed)} of {tried}" + (f' ({ratio:.3f})' if tried else '') +
                 f", {sum('time-out' in r['by'] for r in noticed)} of them by a time-out")
    return '\n'.join(lines), ratio
