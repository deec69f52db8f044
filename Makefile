# Every command of a developer, and of people who try Queuey from a checkout; `make help` lists them.
#
# What the parts of `make test` need (tests/parts.py; docs/testing.rst says what they prove):
#   unit, http, explored   a Python of 3.11-3.13
#   live, around, clients  the same, and what `make browser` installs on Debian, and Node.js 20 or later with npm
#   cassandra              Java 17 and Maven; skipped if they are missing
#   ruff, format, imports,
#   mypy, docs             what setup.py lists as extras
# What the other parts, which make test-long runs, need:
#   live, around, clients,
#   workers                also what `make promtool`, `make samples` and `make debian-root` install on Debian, and Go
#   cassandra              also promtool
#   python3.X, client3.9   that Python, on PATH or below the folder of pyenv; skipped if there is none

SHELL = /bin/sh
.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.NOTPARALLEL:
# If this is set, as it is in many containers, each daemon that a test starts compiles a thousand modules again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: all run test test-one test-long browser javascript sqs-clients sqs-go cassandra cassandra-3.11 cassandra-trio run-cassandra
PICTURES := queues-1440-light queues-1440-dark queues-360-dark dead-letters-1440-light
.PHONY: pictures deb promtool samples generators receivers debian-root histories docs bench bench-peers bench-claims bench-sqs clean help

# The programs of bench/ that measure; the rest there helps them.
BENCHES := post read batch sweep backup slow_readers hangups shapes million v2_post once ndjson cursors counts waits policies limits noisy groups group_waits group_writing group_factors hand_out crowd identities metering copy restore processor heads lone idle live cores calls in_flight clients many queue_reports dashboard push sqs push_down
# These need the server that `make cassandra` sets up.
CASSANDRA_BENCHES := cassandra session push_shared

VENV := .venv
BIN := $(VENV)/bin
SERVES := $(VENV)/serves
READY := $(VENV)/ready
PIP = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

all: $(READY) ## the development environment, in .venv (PYTHON=... picks the interpreter)
	@:

# --no-build-isolation: the setuptools of constraints.txt builds, not the newest one of the day.
# editable_mode=compat: the only development install in which twistd finds the plugin of a checkout.
# The client comes first: pip does not look at what follows for a package that an earlier one needs with extras.
INSTALL = $(PIP) --no-build-isolation --use-pep517 --config-settings editable_mode=compat -e

define environment
@$(BIN)/python -c 'import pip' 2>/dev/null || { \
    python="$(PYTHON)"; \
    [ -n "$$python" ] || python=$$(sh tests/pythons.sh 3.11 3.12 3.13) || { \
        echo 'no Python of 3.11-3.13 that can make a virtual environment; name one: make PYTHON=...' >&2; exit 1; }; \
    echo "making the virtual environment $(VENV) with $$python"; \
    "$$python" -m venv --clear $(VENV); }
@$(PIP) setuptools
endef

# If the script "queuey" was one of the package queuey, installing that package again has removed it.
define script
@[ -x $(BIN)/queuey ] || $(PIP) --no-build-isolation --no-deps --force-reinstall -e ./client
endef

# What serving needs. The development environment is the same one with more in it.
$(SERVES): setup.py client/setup.py constraints.txt
	$(environment)
	@echo 'installing what serving needs, some 25 packages: ten seconds, if the package index is near'
	@$(INSTALL) './client[cli]' -e .
	$(script)
	@touch $@

$(READY): setup.py client/setup.py constraints.txt
	$(environment)
	@echo 'installing what development needs, some 100 packages: a minute or two'
	@$(INSTALL) './client[asyncio,cli,qr,twisted,otel]' -e '.[dev]'
	$(script)
	@touch $(SERVES) $@

run: $(SERVES) ## serve the API and the dashboard, development settings, on PORT=5000 and PORT+2, data in DATA=queuey-data; Ctrl-C stops it
	@exec $(BIN)/twistd --nodaemon --pidfile= queuey --dashboard tcp:$(if $(PORT),$(shell expr $(PORT) + 2),5002):interface=127.0.0.1 $(if $(PORT),--http tcp:$(PORT):interface=127.0.0.1) $(if $(DATA),--data '$(DATA)')

test: $(READY) ## prove every capability, in ten to fifteen minutes (ONLY="unit mypy" runs those parts alone)
	@exec $(BIN)/python -m tests.checks $(ONLY)

test-one: $(READY) ## one module, class or method: make test-one T=tests.http.v1.test_queues
	@[ -n "$(T)" ] || { echo 'name it: make test-one T=tests.model.test_timeid' >&2; exit 2; }
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	    $(BIN)/python -b -m twisted.trial --temp-directory "$$folder/trial" $(T)

test-long: $(READY) ## every test, much more of what is random, coverage and other Pythons; it takes hours
	@exec env QUEUEY_LONG=1 $(BIN)/python -m tests.checks --long $(ONLY)

histories: $(READY) ## break servers below consumer groups, and check all answers: STORE=sqlite|cassandra MINUTES=10 SEED=1 WORKERS=2
	@[ "$(STORE)" != cassandra ] || $(MAKE) --no-print-directory cassandra
	@exec $(BIN)/python -m tests.histories $(if $(STORE),--store $(STORE)) \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(WORKERS),--workers $(WORKERS))

generators: ## what the test of generated TypeScript clients needs, by npm: installed where there is Node.js
	@sh tests/npm.sh 'the test of a generated TypeScript client' tests/live/client/generated

receivers: ## what the test of receivers of pushes needs, by npm and Composer: installed where there is Node.js, and PHP
	@sh tests/npm.sh 'the test of receivers of pushes' tests/live/pushes/receivers
	@sh tests/composer.sh 'the test of the receiver in PHP' tests/live/pushes/receivers

sqs-clients: $(READY) ## what the tests of clients of SQS need: the AWS CLI and Celery by pip, the SDK for Node.js by npm
	@$(BIN)/python -m tests.environments $(BIN)/python .venvs/sqs tests/live/sqs/requirements.txt
	@sh tests/npm.sh 'the test of the SDK of SQS for Node.js' tests/live/sqs/javascript

sqs-go: ## what the test of the SDK of SQS for Go needs: compiled where there is Go
	@sh tests/live/sqs/go/build.sh '$(CURDIR)/bin/sqs-go'

browser: ## Debian's Chromium and axe-core, for the tests in a browser: installed where this is Debian and root
	@sh tests/live/browser/install.sh
	@sh tests/npm.sh "the check of the dashboard by axe-core" tests/live/browser

pictures: $(READY) browser ## the pictures of the dashboard in the documentation, made by the test in Chromium
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	    QUEUEY_PICTURES=$$folder $(MAKE) --no-print-directory test-one T=tests.live.dashboard.test_dashboard_browser.LooksTests && \
	    for name in $(PICTURES); do cp "$$folder/$$name.png" docs/_static/dashboard/; done

deb: ## a Debian package, in dist, for machines with the same release of Debian (docs/operations/install.rst)
	@sh etc/debian/build.sh

javascript: ## what the tests of the JavaScript client need, by npm: installed where there is Node.js
	@sh tests/npm.sh 'tests of the JavaScript client' client/js

promtool: ## Prometheus' promtool, for the tests of alerts: fetched where this is Debian and root
	@sh tests/live/alerts/install.sh

samples: ## nginx, HAProxy, logrotate and PostgreSQL, for the tests of samples and examples: installed where this is Debian and root
	@sh tests/packages.sh 'the test of samples' nginx=nginx haproxy=haproxy logrotate=logrotate
	@sh tests/packages.sh 'the test of examples' /usr/share/postgresql-common=postgresql psql=postgresql-client

debian-root: ## mmdebstrap, for the tests in a fresh Debian: installed where this is Debian and root
	@sh tests/packages.sh 'the test in a fresh Debian' mmdebstrap=mmdebstrap

# What it is set up from; the folder of the other version is none of these files.
CASSANDRA := $(wildcard etc/cassandra/*.* etc/cassandra/cassandra etc/cassandra/nodetool etc/cassandra/trio)
CASSANDRA := $(filter-out etc/cassandra/3.11,$(CASSANDRA))

cassandra: bin/cassandra/ready ## a Cassandra of its own in bin/cassandra; docs/development.rst says how it is run
	@:

cassandra-3.11: bin/cassandra-3.11/ready ## one that still speaks Thrift, in bin/cassandra-3.11
	@:

bin/cassandra/ready: $(CASSANDRA)
	@sh etc/cassandra/setup.sh cassandra && touch $@

bin/cassandra-3.11/ready: $(CASSANDRA) $(wildcard etc/cassandra/3.11/*)
	@sh etc/cassandra/setup.sh cassandra-3.11 && touch $@

cassandra-trio: cassandra ## three nodes on 127.0.0.1-3, which bin/cassandra/bin/trio starts and stops
	@bin/cassandra/bin/trio start
	@echo 'bin/cassandra/bin/trio stop ends them'

run-cassandra: $(READY) cassandra ## serve the API on Cassandra, which is started too; Ctrl-C stops both
	@exec sh etc/cassandra/run.sh $(BIN)/twistd

docs: $(READY) ## the documentation, in docs/_build
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo 'docs/_build/index.html'

bench: $(READY) cassandra ## every benchmark
	@set -e; for program in $(BENCHES) $(CASSANDRA_BENCHES); do echo "== $$program"; $(BIN)/python -m bench.$$program; done

# The module is no program, so it is looked for by its path.
PEERS := nginx=nginx /usr/lib/nginx/modules/ngx_nchan_module.so=libnginx-mod-nchan
PEERS += redis-server=redis-server webdis=webdis rabbitmq-server=rabbitmq-server

bench-peers: $(READY) ## nchan, webdis and RabbitMQ beside Queuey; installed where this is Debian and root
	@sh tests/packages.sh 'the benchmark' $(PEERS)
	@exec $(BIN)/python -m bench.peers

bench-claims: $(READY) ## PostgreSQL, beanstalkd and Redis streams beside claims; installed where this is Debian and root
	@sh tests/packages.sh 'the benchmark' beanstalkd=beanstalkd redis-server=redis-server \
	    /usr/share/postgresql-common=postgresql psql=postgresql-client
	@exec $(BIN)/python -m bench.claims

bench-sqs: $(READY) bin/sqs/ready ## ElasticMQ and moto's server beside SQS, and Celery; fetched where there is Java and Maven
	@exec $(BIN)/python -m bench.sqs

bin/sqs/ready: $(wildcard etc/sqs/*)
	@sh etc/sqs/setup.sh $(BIN)/python && touch $@

clean: ## remove all that was made here, but no data
	rm -rf $(VENV) .venvs .cache .histories .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage _trial_temp*
	rm -rf bin build dist docs/_build queuey.egg-info twisted/plugins/dropin.cache
	rm -rf tests/live/client/generated/node_modules tests/live/pushes/receivers/node_modules tests/live/sqs/javascript/node_modules tests/live/pushes/receivers/vendor
	rm -rf client/build client/dist client/queuey_client.egg-info client/js/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z0-9.-]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 22
