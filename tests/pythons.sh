#!/bin/sh
# Prints the first Python of the versions asked for that can make a virtual environment: sh tests/pythons.sh 3.11 3.12
# Exits 1 and prints nothing where there is none.
#
# Every candidate is run, since what is found by its name may be no Python that works: version managers put stand-ins
# on PATH that fail for versions that are not selected, and distributions ship interpreters without ensurepip.

wanted=" $* "

try() {
    [ -x "$1" ] || return 1
    found=$("$1" -c '
import ensurepip, sys, sysconfig, venv
if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("%d.%d" % sys.version_info[:2], sys.executable)
' </dev/null 2>/dev/null) || return 1
    version=${found%% *}
    case "$wanted" in
        *" $version "*) printf '%s\n' "${found#* }"; exit 0 ;;
    esac
}

on_path() {
    (
        IFS=:
        set -f
        for folder in $PATH; do
            try "$folder/$1"
        done
        exit 1
    ) && exit 0
}

for version in "$@"; do
    on_path "python$version"
done
on_path python3
for version in "$@"; do
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/python3; do
        try "$candidate"
    done
done
exit 1
