# Reads a Containerfile and compose.yaml, and prints them as commands of tests/packaging/container, quoted for the shell:
# from IMAGE STAGE, run COMMAND, copy ..., env NAME=VALUE, user NAME, workdir FOLDER, stopsignal NAME, entrypoint WORD ...,
# cmd WORD ... (of stages), and service NAME STAGE, with variable NAME=VALUE, entrypoint and cmd (of services).
#
#   python3 containerfile.py Containerfile compose.yaml
import json
import re
import shlex
import sys

import yaml

SHELL_FORM = {'RUN', 'FROM', 'COPY', 'ENV', 'USER', 'WORKDIR', 'STOPSIGNAL'}
WITHOUT_EFFECT_HERE = {'EXPOSE', 'VOLUME'}


def say(*words):
    print(shlex.join(words))


def stages(text):
    lines = re.sub(r'^#.*\n', '', text, flags=re.M)
    for line in re.sub(r'\\\n', ' ', lines).splitlines():
        if not line.strip():
            continue
        instruction, rest = line.split(None, 1)
        if instruction == 'FROM':
            image, _, stage = rest.split()
            say('from', image, stage)
        elif instruction == 'RUN':
            say('run', rest)
        elif instruction in ('ENTRYPOINT', 'CMD'):
            say(instruction.lower(), *json.loads(rest))
        elif instruction in SHELL_FORM:
            say(instruction.lower(), *rest.split())
        elif instruction not in WITHOUT_EFFECT_HERE:
            sys.exit(f'containerfile.py: what is {instruction}?')


def services(text):
    for name, service in yaml.safe_load(text)['services'].items():
        say('service', name, service['build']['target'])
        for key, value in service.get('environment', {}).items():
            say('variable', f'{key}={value}')
        for key, command in (('entrypoint', 'entrypoint'), ('command', 'cmd')):
            if key in service:
                # A dollar of its own is two there.
                say(command, *(word.replace('$$', '$') for word in service[key]))


stages(open(sys.argv[1]).read())
services(open(sys.argv[2]).read())
