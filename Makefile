# Builds and installs the extension (PGXS).  `make help` lists the other targets.
EXTENSION = whisperer
EXTVERSION = 1.2
# The release before it, whose update script is made here.
PREVIOUS = 1.1
# Files of src/install/schema with what it lacks, if any: an update makes that as an installation does.
NEW_SCHEMA = src/install/schema/015-internal.sql src/install/schema/055-event_key.sql src/install/schema/098-node.sql
MODULE_big = whisperer

SOURCES = $(sort $(wildcard src/*.cpp) $(wildcard src/*/*.cpp) $(wildcard worker/*/*.cpp))
OBJS = $(SOURCES:.cpp=.o)
FRAGMENTS = $(sort $(wildcard src/install/schema/*.sql)) $(sort $(wildcard src/install/api/*.sql))
UPDATE = whisperer--$(PREVIOUS)--$(EXTVERSION).sql
DATA = $(sort $(wildcard src/install/released/*.sql))
DATA_built = whisperer--$(EXTVERSION).sql $(UPDATE)
EXTRA_CLEAN = $(OBJS:.o=.d) build results regression.diffs regression.out
# make installcheck: against a running server that preloads the library; see CONTRIBUTING.md.
REGRESS = $(sort $(notdir $(basename $(wildcard sql/*.sql))))
REGRESS_OPTS = --encoding=UTF8 --no-locale

# C++20 under PGXS: bitcode is compiled without these flags, and a shared object with a missing
# libstdc++ links without a word.
override with_llvm = no
override COMPILER = $(CXX) $(CXXFLAGS)
PG_CXXFLAGS = -MMD -MP -std=c++20 -Wno-register -Wextra -Wno-unused-parameter \
	-fvisibility=hidden -fvisibility-inlines-hidden $(EXTRA_CXXFLAGS)
PG_CPPFLAGS = -I$(srcdir) '-DPGDLLEXPORT=__attribute__((visibility("default")))' \
	-DWHISPERER_VERSION='"$(EXTVERSION)"'
SHLIB_LINK = -lcurl -lssl -lcrypto -lz -lre2 -lstdc++ -Wl,--version-script=src/exports.map

PG_CONFIG ?= pg_config
# pg_config names a file that is not there where it came without the server's headers.
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)
include $(PGXS)
-include $(OBJS:.o=.d)
whisperer.so: src/exports.map
# Objects for one PostgreSQL are not for another one.  The file is written only when that changes; before that it is seen
# whether the compiler and all headers are there.
HEADERS = curl/curl.h openssl/ssl.h zlib.h re2/re2.h nlohmann/json.hpp postgres.h
$(OBJS): Makefile build/built_for
build/built_for: FORCE
	@built_for=$$($(PG_CONFIG) --version --includedir-server) && { [ "$$built_for" = "$$(cat $@ 2>/dev/null)" ] || { \
	  printf '#include <%s>\n' $(HEADERS) | $(CXX) -std=c++20 $(CPPFLAGS) -x c++ -E - >/dev/null || \
	    { echo "what the extension is built with is missing: run 'make setup' as root, or see README.md" >&2; exit 1; }; \
	  mkdir -p build && echo "$$built_for" >$@; }; }
.PHONY: FORCE
endif

whisperer--$(EXTVERSION).sql: $(FRAGMENTS) src/install/header.sql
	cat src/install/header.sql $(FRAGMENTS) > $@.tmp && mv $@.tmp $@

# What was there keeps its privileges, with what an operator granted or revoked since: only what has no initial
# ones yet is new.
define GRANT_IF_NEW
s/^(GRANT EXECUTE ON (FUNCTION|PROCEDURE) (.*) TO PUBLIC;)$$/DO $$grant$$BEGIN IF NOT EXISTS (SELECT FROM pg_init_privs \
WHERE classoid = 'pg_proc'::regclass AND objoid = '\3'::regprocedure) THEN \1 END IF; END$$grant$$;/
s/^(REVOKE ALL ON (\S+) FROM PUBLIC; GRANT .* TO PUBLIC;)$$/DO $$grant$$BEGIN IF NOT EXISTS (SELECT FROM pg_init_privs \
WHERE classoid = 'pg_class'::regclass AND objoid = '\2'::regclass) THEN \1 END IF; END$$grant$$;/
endef
export GRANT_IF_NEW

# An update makes what is new, changes the tables by its delta, and then runs the fragments of the API once more.  What they
# replace is the extension's own, or PostgreSQL refuses (since 14.5).
$(UPDATE): src/install/updates/$(PREVIOUS)--$(EXTVERSION).sql $(FRAGMENTS) src/install/update_header.sql
	{ cat src/install/update_header.sql $(NEW_SCHEMA) $< && \
	  sed -E -e 's/^CREATE (FUNCTION|PROCEDURE|VIEW|TRIGGER|AGGREGATE) /CREATE OR REPLACE \1 /' -e "$$GRANT_IF_NEW" \
	    $(sort $(wildcard src/install/api/*.sql)); \
	} > $@.tmp && mv $@.tmp $@

# The targets below do their own set-up: they install what is missing (as root) or say what to run; gateway only says it.
# Each calls make again, because PGXS may have come with the set-up.
.PHONY: help setup build-all test demo bench fuzz soak mutants tidy valgrind checked gateway install-gateway console node deb dist sbom packaging

help:
	@echo "make            build the extension"
	@echo "make install    install it into the PostgreSQL of pg_config"
	@echo "make gateway    build the HTTP gateway, build/gateway/whisperer-gateway"
	@echo "make install-gateway    install it into PREFIX/bin (/usr/local)"
	@echo "make console    the gateway's console in your browser, on demo data that keeps coming"
	@echo "make node       a throw-away delivery node for a database of yours: NODE='host=... dbname=... user=...'"
	@echo "make deb        Debian packages of HEAD in build/deb, for each PostgreSQL whose headers are installed"
	@echo "make dist       a zip of HEAD for PGXN in build/dist"
	@echo "make sbom       what the two programs are linked with, as CycloneDX JSON, in build/whisperer.cdx.json"
	@echo "make packaging  tries packages, zip and containers in bare systems (root)"
	@echo "make demo       see it work, on a throw-away server"
	@echo "make test       unit, regression, isolation and server tests, style"
	@echo "make installcheck    the SQL tests against a running server that preloads the library (PGHOST, PGPORT)"
	@echo "make bench      what a delivery costs beside bare libcurl and others (BENCH='--help': what it takes)"
	@echo "make soak       faults many times, and a long steady load (SOAK='--help': what it takes)"
	@echo "make mutants    small changes of the sources, and which test notices (MUTANTS='--help': what it takes)"
	@echo "make fuzz       feed the engine's parsers with nonsense, FUZZ_SECONDS=60 each"
	@echo "make valgrind   unit tests and a server that records and delivers, under valgrind"
	@echo "make checked    the suites on a PostgreSQL built to check itself (CHECKED='--help': what it takes)"
	@echo "make tidy       style only"
	@echo "make clean      remove what was built"

setup:
	@tests/setup test

build-all: setup
	@tests/demo/build $(MAKE)

test: build-all
	@tests/run $(SUITES)

demo:
	@tests/setup demo
	@tests/demo/build $(MAKE)
	@tests/demo/demo

PREFIX ?= /usr/local

gateway:
	@command -v cmake >/dev/null || { echo "cmake is missing: apt-get install --no-install-recommends $$(cat gateway/packages)" >&2; exit 1; }
	@cmake -S gateway -B build/gateway -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null || \
	  { echo "the gateway is built with: apt-get install --no-install-recommends $$(cat gateway/packages)" >&2; exit 1; }
	@cmake --build build/gateway -j2

install-gateway: gateway
	@DESTDIR=$(DESTDIR) cmake --install build/gateway

console: build-all gateway
	@tests/demo/console $(CONSOLE)

# In quotes, for a connection string has spaces; options go before it.
node: build-all
	@tests/demo/node $(NODE_OPTIONS) $(if $(NODE),'$(NODE)')

bench: build-all
	@tests/bench/bench $(BENCH)
	@$(if $(filter --help,$(BENCH)),:,tests/bench/isolation)

soak: build-all
	@tests/setup checked
	@tests/soak/soak $(SOAK)

mutants: setup
	@tests/mutants/mutants $(MUTANTS)

fuzz:
	@tests/setup fuzz
	@tests/fuzz/run $(TARGETS)

valgrind: build-all
	@tests/setup valgrind
	@tests/valgrind/run

checked: build-all
	@tests/setup checked
	@tests/checked/run $(CHECKED)

tidy:
	@perl tests/tidy/tidy.pl

# Packages and zip are made of the last commit and of nothing else, so that two machines make the same bytes.
RELEASE = whisperer-$(EXTVERSION)
export_head = { git rev-parse -q --verify HEAD >/dev/null || { echo "make $(1) needs git, and a clone: it is made of the last commit" >&2; exit 1; }; } && \
  rm -rf build/$(1) && mkdir -p build/$(1) && git archive --prefix=$(RELEASE)/ HEAD | tar -x -C build/$(1)

deb:
	@tests/setup deb
	@$(call export_head,deb)
	@cd build/deb/$(RELEASE) && export PG_SUPPORTED_VERSIONS=installed DEB_BUILD_OPTIONS="parallel=2 $$DEB_BUILD_OPTIONS" && \
	  pg_buildext updatecontrol && \
	  { dpkg-buildpackage -b -d -us -uc >../log 2>&1 || { tail -40 ../log; exit 1; }; }
	@rm -rf build/deb/$(RELEASE) && ls build/deb/*.deb

# The install script is in it, because META.json names it.  A zip has local times in it, and what the umask lets others do.
dist:
	@command -v zip >/dev/null || { echo "zip is missing: apt-get install zip" >&2; exit 1; }
	@$(call export_head,dist)
	@$(MAKE) -s --no-print-directory -C build/dist/$(RELEASE) PGXS= $(DATA_built)
	@cd build/dist && mv $(RELEASE) $(RELEASE).0 && chmod -R u=rwX,go=rX . && find . -exec touch -h -d @$$(git log -1 --format=%ct) {} + && \
	  find $(RELEASE).0 -type f | LC_ALL=C sort | TZ=UTC zip -X -q $(RELEASE).0.zip -@ && rm -rf $(RELEASE).0
	@echo build/dist/$(RELEASE).0.zip

sbom: build-all gateway
	@tests/packaging/sbom >build/whisperer.cdx.json && echo build/whisperer.cdx.json

packaging:
	@tests/packaging/run $(PACKAGING)

ifeq ($(PGXS),)
all install uninstall installcheck clean:
	@major=$$($(PG_CONFIG) --version 2>/dev/null | sed -nE 's/^PostgreSQL ([0-9]+).*/\1/p'); \
	  if [ -n "$$major" ]; then echo "the headers of the server are missing: apt-get install postgresql-server-dev-$$major" >&2; \
	  else echo "pg_config is missing: run 'make setup' as root, or see README.md" >&2; fi; exit 1
.DEFAULT_GOAL = all
endif
