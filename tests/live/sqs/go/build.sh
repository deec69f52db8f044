#!/bin/sh
# Compiles the program of the SDK for Go, of the versions in go.mod and go.sum: build.sh PROGRAM. If there is no Go here,
# or one that is too old, it says so, and that is no error.
set -eu
program=$1
cd "$(dirname "$0")"

oldest=$(sed -n 's/^go //p' go.mod)
if ! command -v go >/dev/null; then
    echo 'the test of the SDK of SQS for Go: skipped, there is no Go here'
    exit
elif ! GOTOOLCHAIN=local go list -m >/dev/null 2>&1; then
    echo "the test of the SDK of SQS for Go: skipped, it needs Go $oldest or later"
    exit
fi
[ -x "$program" ] || echo 'compiling the SDK of SQS for Go: a minute of processor time, if it was not compiled before'
export GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false'
go build -o "$program" .
