#!/bin/sh
# Installs what the test of generated clients needs, of the versions in package-lock.json: the generator of TypeScript, the
# library that its types are for, and the compiler. Where there is no Node.js or no npm it says so, and that is no error.
set -eu
cd "$(dirname "$0")"
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo 'the test of a generated TypeScript client is skipped: there is no Node.js here, or no npm'
    exit
fi
# npm writes this file when it has installed everything.
[ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] && exit
echo 'installing what the test of generated clients needs'
output=$(mktemp)
trap 'rm -f "$output"' EXIT
if ! npm ci --ignore-scripts --no-audit --no-fund </dev/null >"$output" 2>&1; then
    cat "$output" >&2
    echo 'npm could not install it' >&2
    exit 1
fi
touch node_modules/.package-lock.json
