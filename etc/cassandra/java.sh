#!/bin/sh
# Prints a Java 17, which Cassandra 4.1 and 5.0 run on and no newer one does: that of JAVA_HOME or PATH, or another that
# is installed. Exits 1 and prints nothing where there is none.

try() {
    [ -x "$1" ] || return 1
    case "$("$1" -version 2>&1 </dev/null)" in
        *' version "17'[.\"]*) printf '%s\n' "$1"; exit 0 ;;
    esac
}

[ -z "${JAVA_HOME:-}" ] || try "$JAVA_HOME/bin/java"
try "$(command -v java)"
for candidate in /usr/lib/jvm/*/bin/java /opt/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
    try "$candidate"
done
exit 1
