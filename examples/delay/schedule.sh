#!/bin/sh
# Post the next runs of a job: schedule.sh JOB EVERY TIMES
#
#   schedule.sh backup 60 5     five runs, one at each full minute
#
# It may run as often as you like, on several machines: each run has a key of
# its own, so it is posted once.
set -eu
job=$1 every=$2 times=$3
server=${QUEUEY_URL:-http://127.0.0.1:5000}
key=${QUEUEY_KEY:-f25bfb8fe200475c8a0532a9cbe7651e}
queue=$server/v2/queuey/queues/schedule

ask() { # METHOD URL OPTION...
    method=$1 url=$2
    shift 2
    curl -sS --retry 5 --retry-connrefused -o /dev/null \
        -w '%{http_code}%header{idempotency-replayed}' -X "$method" \
        -H "Authorization: Application $key" "$@" "$url"
}

case $(ask PUT "$queue") in 200 | 201) ;; *) echo "no queue" >&2; exit 1 ;; esac

now=$(date +%s)
next=$(((now / every + 1) * every))
for number in $(seq "$times"); do
    status=$(ask POST "$queue/messages?delay=$((next - now))" \
        -H 'Content-Type: text/plain' \
        -H "Idempotency-Key: \"$job-$next\"" -d "$job $next")
    case $status in
    201) echo "$job at $next" ;;
    # The key is known: with the same delay, or (422) with another one.
    201true | 422) echo "$job at $next was posted before" ;;
    *) echo "$job at $next: status $status" >&2; exit 1 ;;
    esac
    next=$((next + every))
done
