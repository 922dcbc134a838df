# Whether META.json keeps the rules of PGXN's specification 1.0, as far as this project can break them, and names files
# that are in the zip.
#
#   python3 pgxn_meta.py ZIP
import json
import re
import sys
import zipfile

SEMVER = re.compile(r'(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?')
# Of a name of a distribution or an extension.
TERM = re.compile(r'[^/\\\s\x00-\x1f\x7f]{2,}')
LICENSES = set('''agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0
    mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown'''.split())
PHASES = {'configure', 'build', 'test', 'runtime', 'develop'}
RELATIONS = {'requires', 'recommends', 'suggests', 'conflicts'}

faults = []


def rule(holds, fault):
    if not holds:
        faults.append(fault)


def text(value, fault, pattern=re.compile(r'.+', re.S)):
    rule(isinstance(value, str) and pattern.fullmatch(value), fault)


def main():
    with zipfile.ZipFile(sys.argv[1]) as archive:
        names = set(archive.namelist())
        top = sys.argv[1].split('/')[-1].removesuffix('.zip')
        meta = json.loads(archive.read(f'{top}/META.json'))
    rule(all(name.startswith(top + '/') for name in names), f'everything is in {top}/')
    text(meta.get('name'), 'name', TERM)
    text(meta.get('version'), 'version', SEMVER)
    rule(top == f'{meta.get("name")}-{meta.get("version")}', 'the zip is called name-version')
    for key in ('abstract', 'maintainer'):
        text(meta.get(key), key)
    rule(meta.get('license') in LICENSES, 'license')
    rule(meta.get('meta-spec', {}).get('version') == '1.0.0', 'meta-spec has version 1.0.0, the only one that there is')
    rule(meta.get('release_status', 'stable') in ('stable', 'testing', 'unstable'), 'release_status')
    rule(all(0 < len(tag) < 256 for tag in meta.get('tags', [])), 'tags')
    rule(meta.get('provides'), 'provides')
    for name, extension in meta.get('provides', {}).items():
        text(name, f'provides {name}', TERM)
        text(extension.get('version'), f'version of {name}', SEMVER)
        for key in ('file', 'docfile'):
            if key == 'file' or key in extension:
                rule(f'{top}/{extension.get(key)}' in names, f'{key} of {name} is in the zip')
    for phase, relations in meta.get('prereqs', {}).items():
        rule(phase in PHASES, f'prereqs: {phase}')
        for relation, needed in relations.items():
            rule(relation in RELATIONS, f'prereqs: {relation}')
            for name, version in needed.items():
                rule(version == 0 or re.fullmatch(r'0|[<>=! ]*' + SEMVER.pattern, str(version)), f'version of {name}')
    for fault in faults:
        print(f'not ok - META.json: {fault}')
    if not faults:
        print('ok - META.json keeps the rules')
    sys.exit(bool(faults))


main()
