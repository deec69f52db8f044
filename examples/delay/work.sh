#!/bin/sh
# Do each job when it is due, until Ctrl-C. Start several of them if you like:
# each run is given to one of them.
set -eu
server=${QUEUEY_URL:-http://127.0.0.1:5000}
key=${QUEUEY_KEY:-f25bfb8fe200475c8a0532a9cbe7651e}
group=$server/v2/queuey/queues/schedule/groups/cron

ask() { # METHOD URL JSON
    curl -sS --retry 5 --retry-connrefused --fail -X "$1" -d "$3" \
        -H "Authorization: Application $key" \
        -H 'Content-Type: application/json' "$2"
}

member() { # NAME: the text that an answer of one message has there
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

ask PUT "${group%/groups/*}" '{}' >/dev/null
ask PUT "$group" '{"lease": 60, "max_deliveries": 5}' >/dev/null
while true; do
    claim=$(ask POST "$group/claims" '{"limit": 1, "wait": 20}') || {
        sleep 1
        continue
    }
    receipt=$(echo "$claim" | member receipt)
    [ -n "$receipt" ] || continue
    body=$(echo "$claim" | member body)
    # What comes from a queue is text: look it up, and never run it.
    case $body in
    "backup "*) echo "$body, done at $(date +%s)" ;;
    *) echo "unknown job: $body" ;;
    esac
    # If this fails, the job is given again when its lease ends.
    ask POST "$group/settlements" "{\"ack\": [\"$receipt\"]}" >/dev/null || true
done
