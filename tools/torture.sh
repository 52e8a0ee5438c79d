#!/bin/sh
# Long kill loops by hand: 100 rounds of kill -9 under four writing clients on SQLite, and on PostgreSQL where
# STRONGBACK_TEST_POSTGRES_URL names a server; the two summary lines at the end are for docs/.
# TORTURE_ROUNDS and TORTURE_SEED change count and choices; STRONGBACK_BIN names a binary that is already built.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
rounds=${TORTURE_ROUNDS:-100}
# The selection that all stages share: another one would compile the dependencies again.
cargo build --workspace --all-targets --locked
: "${STRONGBACK_BIN:=$target/debug/strongback}"
export STRONGBACK_BIN
summary=$(mktemp)
trap 'rm -f "$summary"' EXIT

# Runs one store's rounds, shows them as they pass and keeps the last line.
rounds_on() {
    log=$(mktemp)
    status=0
    "$target/debug/torture" --rounds "$rounds" ${TORTURE_SEED:+--seed "$TORTURE_SEED"} "$@" >"$log" 2>&1 &
    pid=$!
    tail -n +1 -f --pid="$pid" "$log" &
    tailer=$!
    wait "$pid" || status=$?
    wait "$tailer" || true
    if [ "$status" -eq 0 ]; then
        tail -n 1 "$log" >>"$summary"
    fi
    rm -f "$log"
    return "$status"
}

rounds_on
if [ -n "${STRONGBACK_TEST_POSTGRES_URL:-}" ]; then
    rounds_on --postgres
else
    echo 'PostgreSQL: not tried, STRONGBACK_TEST_POSTGRES_URL is not set' >>"$summary"
fi
echo
echo "kill -9 under four writing clients, commit $(git rev-parse --short=12 HEAD), $(date -u +%Y-%m-%d)"
cat "$summary"
