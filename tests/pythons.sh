#!/bin/sh
# Prints the Python of the versions asked for that suits best: sh tests/pythons.sh 3.11 3.12
# It can make a virtual environment, and was built with optimisations if there is such a one: a POST then takes a tenth
# less of the processor. Among equals it is the first one found. Says on standard error which it is.
# Exits 1 and prints nothing if there is none.
#
# Every candidate is run, since what is found by its name may be no Python that works: version managers put stand-ins
# on PATH that fail for versions that are not selected, and distributions ship interpreters without ensurepip.

wanted=" $* "

# Prints the version, whether it was built with optimisations, and the path. Debian's builds are optimised by a profile
# too, and their configuration does not say so; they are known by the place where they install packages.
look='
import ensurepip, platform, sys, sysconfig, venv
told = "%s %s" % (sysconfig.get_config_var("CONFIG_ARGS"), sysconfig.get_config_var("PY_CFLAGS_NODIST"))
profiled = "--enable-optimizations" in told or "-fprofile-use" in told or "deb_system" in sysconfig.get_scheme_names()
if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("%d.%d" % sys.version_info[:2], platform.python_version(), "yes" if profiled else "no", sys.executable)
'

# One candidate a line.
candidates() {
    for version in "$@"; do
        on_path "python$version"
    done
    on_path python3
    for version in "$@"; do
        for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/python3; do
            printf '%s\n' "$candidate"
        done
    done
}

on_path() {
    (
        IFS=:
        set -f
        for folder in $PATH; do
            printf '%s\n' "$folder/$1"
        done
    )
}

choose() {
    printf '%s: Python %s, built %s optimisations\n' "$1" "$2" "$3" >&2
    printf '%s\n' "$1"
    exit 0
}

candidates "$@" | {
    first=
    while IFS= read -r candidate; do
        [ -x "$candidate" ] || continue
        found=$("$candidate" -c "$look" </dev/null 2>/dev/null) || continue
        read -r version release profiled path <<END
$found
END
        case "$wanted" in *" $version "*) ;; *) continue ;; esac
        [ "$profiled" != yes ] || choose "$path" "$release" with
        [ -n "$first" ] || { first=$path first_release=$release; }
    done
    [ -z "$first" ] || choose "$first" "$first_release" without
    exit 1
}
