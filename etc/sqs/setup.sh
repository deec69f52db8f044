#!/bin/sh
# Sets up, below bin/sqs, what "make bench-sqs" measures Queuey beside: ElasticMQ in lib/, and moto's server and Celery in
# the virtual environment venv/.
#
#   setup.sh PYTHON   makes the environment with that interpreter; without Java or Maven there is no ElasticMQ, and without
#                     the package index no moto and no Celery: this says so, and that is no error
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
home=$(dirname "$(dirname "$here")")/bin/sqs
mkdir -p "$home"
said=$(mktemp)
trap 'rm -f "$said"' EXIT

if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
    echo 'the benchmark has no ElasticMQ: it needs Java and Maven (on Debian 12: apt-get install openjdk-17-jre-headless maven)'
elif ! cmp -s "$here/pom.xml" "$home/pom.xml"; then
    echo 'fetching ElasticMQ'
    fresh=$home/lib.$$
    if mvn --batch-mode -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$fresh" </dev/null >"$said" 2>&1; then
        rm -rf "$home/lib"
        mv "$fresh" "$home/lib"
        install -m 644 "$here/pom.xml" "$home/pom.xml"
    else
        tail -n 20 "$said" >&2
        rm -rf "$fresh"
        echo 'the benchmark has no ElasticMQ: Maven could not fetch it'
    fi
fi

if ! cmp -s "$here/requirements.txt" "$home/requirements.txt"; then
    echo "installing moto's server and Celery"
    if "$1" -m venv --clear "$home/venv" && "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r "$here/requirements.txt" </dev/null >"$said" 2>&1; then
        install -m 644 "$here/requirements.txt" "$home/requirements.txt"
    else
        tail -n 20 "$said" >&2
        rm -rf "$home/venv"
        echo 'the benchmark has no moto and no Celery: they could not be installed'
    fi
fi
