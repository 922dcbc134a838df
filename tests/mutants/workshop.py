"""A private copy of the checkout in which mutants are built and tested, one at a time.

Nothing of the checkout itself is touched.  What a mutant's tests start lies in a throw-away folder of their
own and belongs to their process group, and both are ended with it, whatever the mutant did to them.
"""
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

NOT_COPIED = re.compile(r'\..*|build|results|tmp_check|output_iso|regression\..*|whisperer\.so|whisperer--.*\.sql')
MADE = ('.o', '.d', '.pyc')
COMPILE_LIMIT_S = 300
UNIT_LIMIT_S = 120
UNIT_BYTES_MAX = 4 << 30
MEMORY_KB_MIN = 700_000    # less than this left on the machine: the tests are stopped
FAILURE = re.compile(rb'^not ok [^\n]*|^test [^\n]*FAILED[^\n]*', re.M)


class Broken(Exception):
    """The unchanged tree does not build or does not pass: nothing can be said of mutants."""


def available_kb():
    return int(re.search(r'MemAvailable:\s+(\d+)', pathlib.Path('/proc/meminfo').read_text())[1])


def is_inside(pid, folder, mark):
    """Whether a process was started from the folder, works in it, or has the mark."""
    for name in ('exe', 'cwd'):
        try:
            if os.readlink(f'/proc/{pid}/{name}').startswith(folder + '/'):
                return True
        except OSError:
            pass
    try:
        return mark in pathlib.Path(f'/proc/{pid}/environ').read_bytes()
    except OSError:
        return False


def end_all_inside(folder, mark):
    for _ in range(100):
        pids = [int(p) for p in os.listdir('/proc') if p.isdigit() and is_inside(p, folder, mark)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not pids:
            return
        time.sleep(0.05)


class Workshop:
    """Several may work at a time; what is built without a change is built once, by the first, and only read."""

    def __init__(self, checkout, folder, number, first=None):
        self.checkout = pathlib.Path(checkout)
        self.tree = pathlib.Path(folder) / f'tree-{number}'
        self.first = first or self
        self.unit = self.first.tree / 'build' / 'unit'
        self.out = self.tree / 'build' / 'out'
        self.building = threading.Lock()
        self.commands, self.originals = {}, {}
        self.link_unit = self.link_library = None
        self.stopping = False
        self.running = None    # what tests
        self.builds = set()    # also those that another workshop had made here

    # --- the tree -------------------------------------------------------------------------------
    def refresh(self):
        """Makes the tree equal to the checkout; what did not change keeps its time and its object."""
        wanted = set()
        tops = [top for top in self.checkout.iterdir() if not NOT_COPIED.fullmatch(top.name)]
        for top in tops:
            files = [top] if top.is_file() else [f for f in top.rglob('*') if f.is_file()]
            for file in files:
                if file.suffix in MADE:
                    continue
                copy = self.tree / file.relative_to(self.checkout)
                wanted.add(copy)
                if copy.exists() and copy.read_bytes() == file.read_bytes():
                    continue
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
        for top in tops:
            for copy in (self.tree / top.name).rglob('*'):
                if copy.is_file() and copy.suffix not in MADE and copy not in wanted:
                    copy.unlink()
                    copy.with_suffix('.o').unlink(missing_ok=True)

    def run(self, command, cwd=None):
        build = subprocess.Popen(command, cwd=cwd or self.tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, errors='replace', start_new_session=True)
        self.builds.add(build)
        out, errors = build.communicate()
        self.builds.discard(build)
        if self.stopping:
            raise Broken('stopped')
        if build.returncode != 0:
            raise Broken(f'{shlex.join(map(str, command))}\n{out[-2000:]}{errors[-4000:]}')
        return out

    def build(self, kind):
        """Builds everything without a change, once; self.first then knows how to link it."""
        with self.first.building:
            if kind == 'unit' and not self.first.link_unit:
                self.first.build_unit()
            if kind == 'library' and not self.first.link_library:
                self.first.build_library()
        if kind == 'library' and self is not self.first:
            for file in self.first.tree.glob('whisperer--*.sql'):
                shutil.copy(file, self.tree)

    def forget_stale(self):
        """CMake that was ended at the wrong moment may have lost what an object was made from."""
        for made in self.unit.rglob('*.o'):
            if not made.with_name(made.name + '.d').exists():
                made.unlink()

    def build_unit(self):
        self.forget_stale()
        # What is changed is compiled with -O2 all the same, so that equal object code says more.
        self.run(['cmake', '-S', '.', '-B', 'build/unit', '-DCMAKE_BUILD_TYPE=None', '-DCMAKE_CXX_FLAGS=-O1 -g0'])
        self.run(['cmake', '--build', 'build/unit', '-j2'])
        link = (self.unit / 'CMakeFiles/whisperer_unit_tests.dir/link.txt').read_text()
        self.link_unit = shlex.split(link)

    def build_library(self):
        (self.tree / 'whisperer.so').unlink(missing_ok=True)    # it may have been a mutant's
        self.run(['make', '-s', '-j2', 'all'])
        lines = self.run(['make', '-n', '-W', 'src/module.cpp', 'whisperer.so']).splitlines()
        self.link_library = shlex.split(next(l for l in lines if ' -shared ' in l))

    # --- one mutant -----------------------------------------------------------------------------
    def compile_command(self, file, kind):
        if (file, kind) not in self.commands:
            if kind == 'unit':
                entries = json.loads((self.unit / 'compile_commands.json').read_text())
                command = next(e['command'] for e in entries if e['file'] == str(self.first.tree / file))
                words = shlex.split(command.replace(str(self.first.tree), str(self.tree))) + ['-O2']
            else:
                output = self.first.run(['make', '-n', '-W', file, file.replace('.cpp', '.o')])
                words = shlex.split(next(l for l in output.splitlines() if ' -c ' in l))
                words = [w for w in words if w not in ('-MMD', '-MP')]
            words[words.index('-o') + 1] = str(self.out / f'{kind}.o')
            self.commands[file, kind] = words + ['-g0', '-w', '-frandom-seed=0']
        return self.commands[file, kind]

    def compile(self, file, source, kind):
        """The object code of the source in place of the file; None: it does not compile."""
        place = self.tree / file
        original, times = place.read_text(), (place.stat().st_atime, place.stat().st_mtime)
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            place.write_text(source)
            done = subprocess.run(self.compile_command(file, kind), cwd=self.tree, capture_output=True,
                                  timeout=COMPILE_LIMIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            place.write_text(original)
            os.utime(place, times)    # or it would be built again
        return (self.out / f'{kind}.o').read_bytes() if done.returncode == 0 else None

    def original(self, file, kind):
        if (file, kind) not in self.originals:
            code = self.compile(file, (self.tree / file).read_text(), kind)
            if code is None:
                raise Broken(f'{file} does not compile')
            self.originals[file, kind] = code
        return self.originals[file, kind]

    def link(self, file, kind):
        """Links everything with the object just compiled, or with the original ones (file None)."""
        changed = str(self.out / f'{kind}.o')
        if kind == 'library':
            words = [changed if file and w == file.replace('.cpp', '.o') else w for w in self.first.link_library]
            words[words.index('-o') + 1] = str(self.tree / 'whisperer.so')
            self.run(words, cwd=self.first.tree)
            return
        objects = sorted(str(o) for o in (self.unit / 'CMakeFiles/whisperer_engine.dir').rglob('*.o'))
        mine = f'CMakeFiles/whisperer_engine.dir/{file}.o'
        objects = [changed if file and o.endswith(mine) else o for o in objects]
        words = []
        for word in self.first.link_unit:
            words += objects if word.endswith('libwhisperer_engine.a') else [word]
        words[words.index('-o') + 1] = str(self.out / 'mutant_tests')
        self.run(words, cwd=self.unit)

    # --- tests ----------------------------------------------------------------------------------
    def run_unit(self, only='*'):
        """None: passed; else what failed, or 'time-out'."""
        limits = lambda: resource.setrlimit(resource.RLIMIT_AS, (UNIT_BYTES_MAX, UNIT_BYTES_MAX))
        with tempfile.TemporaryDirectory(prefix='wm.') as folder:
            log = pathlib.Path(folder) / 'log'
            with log.open('wb') as out:
                self.running = subprocess.Popen(
                    [str(self.out / 'mutant_tests'), '--gtest_fail_fast', '--gtest_brief=1', f'--gtest_filter={only}'],
                    cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                    env={**os.environ, 'TMPDIR': folder}, start_new_session=True, preexec_fn=limits)
                try:
                    status = self.running.wait(UNIT_LIMIT_S)
                except subprocess.TimeoutExpired:
                    return 'time-out'
                finally:
                    self.end_group()
            if self.stopping:
                raise Broken('stopped')
            if status == 0:
                return None
            failed = re.search(r'\[  FAILED  \] ([\w./]+)', log.read_text(errors='replace'))
            return failed[1] if failed else f'ended with status {status}'

    def stop(self):
        """Called from a signal handler: what runs is ended soon, and what it says does not count."""
        self.stopping = True
        for running in [*self.builds, self.running]:
            if running and running.poll() is None and running.args[0] != 'tests/run':
                os.killpg(running.pid, signal.SIGKILL)

    def end_group(self):
        try:
            os.killpg(self.running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.running.wait()
        self.running = None

    def run_suite(self, item, limit_s):
        """An item of the table: regress, isolation, or a server test.  As run_unit."""
        suite = [item] if item in ('regress', 'isolation') else ['server', f'tests/server/{item}.pl']
        folder = tempfile.mkdtemp(prefix='wm.')
        os.chmod(folder, 0o755)
        mark = f'WHISPERER_MUTANT={folder}'.encode()
        env = {**os.environ, 'TMPDIR': folder, 'WHISPERER_MUTANT': folder}
        env.setdefault('WHISPERER_TEST_WAIT_S', '60')
        try:
            with open(f'{folder}/log', 'wb') as out:
                self.running = subprocess.Popen(['tests/run', *suite], cwd=self.tree, stdin=subprocess.DEVNULL,
                                                stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True)
            return self.watch(folder, item, time.monotonic() + limit_s)
        finally:
            self.stop_suite(folder, mark)

    def watch(self, folder, item, deadline):
        while True:
            if self.stopping:
                raise Broken('stopped')
            ended = self.running.poll() is not None
            logs = list(pathlib.Path(folder).glob(f'whisperer.*/results_server/{item}.log'))
            logs += list(pathlib.Path(folder).glob(f'whisperer.*/{item}.log')) + [pathlib.Path(folder, 'log')]
            for log in logs:
                try:
                    failure = FAILURE.search(log.read_bytes())
                except FileNotFoundError:
                    continue
                if failure:
                    return f'{item}: {failure[0].decode(errors="replace")[:100]}'
            if ended:
                return None if self.running.returncode == 0 else f'{item}: ended with status {self.running.returncode}'
            if time.monotonic() > deadline:
                return f'{item}: time-out'
            if available_kb() < MEMORY_KB_MIN:
                return f'{item}: takes all memory'
            time.sleep(0.2)

    def stop_suite(self, folder, mark):
        if self.running.poll() is None:
            self.running.terminate()    # tests/run then ends its servers and removes its folder
            try:
                self.running.wait(30)
            except subprocess.TimeoutExpired:
                pass
        self.end_group()
        end_all_inside(folder, mark)
        for line in pathlib.Path('/proc/mounts').read_text().splitlines():
            if line.split()[1].startswith(folder + '/'):
                subprocess.run(['umount', '-l', line.split()[1]], check=False)
        shutil.rmtree(folder, ignore_errors=True)
