#!/bin/sh
# Sets up a Cassandra of the package registry below bin/, for "make cassandra" and "make cassandra-3.11".
#
#   setup.sh cassandra        Cassandra 5.0 in bin/cassandra
#   setup.sh cassandra-3.11   3.11, which still speaks Thrift, in bin/cassandra-3.11
#   setup.sh why-not          says what is missing for that on this machine; nothing where all is there
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)

why_not() {
    missing= packages=
    sh "$here/java.sh" >/dev/null || missing='Java 17' packages=' openjdk-17-jre-headless'
    command -v mvn >/dev/null || missing="${missing:+$missing and }Maven" packages="$packages maven"
    [ -z "$missing" ] || echo "Cassandra needs $missing: install it (on Debian 12: apt-get install$packages)"
}

case "${1:-}" in
    why-not) why_not; exit ;;
    cassandra) files=$here scripts='cassandra nodetool trio' ;;
    # nodetool of 3.11 does not run on Java 17.
    cassandra-3.11) files=$here/3.11 scripts=cassandra ;;
    *) echo 'usage: setup.sh cassandra | cassandra-3.11 | why-not' >&2; exit 2 ;;
esac
reason=$(why_not)
[ -z "$reason" ] || { echo "$reason" >&2; exit 1; }

home=$(dirname "$(dirname "$here")")/bin/$1
mkdir -p "$home/bin" "$home/conf"
if ! cmp -s "$files/pom.xml" "$home/pom.xml"; then
    echo "fetching $1"
    fresh=$home/lib.$$
    said=$(mktemp)
    trap 'rm -rf "$fresh" "$said"' EXIT
    mvn --batch-mode -f "$files/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$fresh" </dev/null >"$said" 2>&1 || { cat "$said" >&2; exit 1; }
    rm -rf "$home/lib"
    mv "$fresh" "$home/lib"
    install -m 644 "$files/pom.xml" "$home/pom.xml"
fi
for name in $scripts java.sh; do
    install -m 755 "$here/$name" "$home/bin/$name"
done
install -m 644 "$files/cassandra.yaml" "$files/jvm.options" "$here/logback.xml" "$here/logback-tools.xml" "$home/conf/"
