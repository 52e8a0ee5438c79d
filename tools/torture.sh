#!/usr/bin/env bash
# Long kill loops, by hand: rounds of kill -9 under four writing clients, on SQLite and on PostgreSQL, which it starts itself
# where none runs; then as many rounds of the tests that kill while rows land, features are computed, requests are scored,
# gates judge and webhooks are told, on both; then requests are generated of the OpenAPI document, with another seed each
# time; then the parsers are fuzzed (tools/fuzz.sh). A full run (100 rounds) adds a line each to docs/torture.md; commit it.
#
#   tools/torture.sh                    100 rounds on each
#   TORTURE_ROUNDS=5 tools/torture.sh   fewer, and nothing is written down
#
# TORTURE_SEED repeats the choices of an earlier run; STRONGBACK_BIN names a binary that is already built.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/stage.sh
source tools/with_postgres.sh

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${STRONGBACK_CACHE:-$HOME/.cache/strongback}/target}
export STRONGBACK_BIN=${STRONGBACK_BIN:-$CARGO_TARGET_DIR/debug/strongback}
full=100
rounds=${TORTURE_ROUNDS:-$full}
results=docs/torture.md
log=$(mktemp)
at_exit 'rm -f "$log"'

build() { cargo build --workspace --all-targets --locked; }

# Runs one store's rounds, shows them as they pass, and keeps the last line.
rounds_on() {
    "$CARGO_TARGET_DIR/debug/torture" --rounds "$rounds" ${TORTURE_SEED:+--seed "$TORTURE_SEED"} "$@" | tee "$log" || return
    [[ $rounds -lt $full ]] || write_down "$(tail -n 1 "$log")"
}

# The rounds of the product's own tests, which reconcile what they find.
rounds_of_tests() {
    command -v cargo-nextest >/dev/null || { echo "the rounds of the tests need cargo-nextest" >&2; return 1; }
    STRONGBACK_KILL_ROUNDS=$rounds cargo nextest run --workspace --locked --no-fail-fast \
        -E 'test(/(tables|features|payload|serving|promotion|webhooks)::(set_)?kill::/)' || return
    [[ $rounds -lt $full ]] || write_down "import, materialisation, training sets, payload log, scoring, gates and moves, webhooks: $rounds rounds each on both databases, 0 problems"
}

# Ten minutes on each database in a full run.
generated() {
    local seconds=$((6 * rounds)) seed=${TORTURE_SEED:-$RANDOM$RANDOM}
    ((seconds >= 30)) || seconds=30 # less does not come round
    echo "seed $seed, $seconds s on each database"
    STRONGBACK_GENERATED_SECONDS=$seconds STRONGBACK_GENERATED_SEED=$seed \
        "$venv/bin/python" -m pytest tests/clients/test_generated_requests.py -q -rP | tee "$log" || return
    [[ $rounds -lt $full ]] || write_down "$(sed -n 's/^generated: /generated requests: /p' "$log" | paste -sd';' | sed 's/;/; /'), 0 problems (seed $seed)"
}

# Ten minutes a target in a full run.
fuzz() {
    local seconds=$((6 * rounds))
    tools/fuzz.sh "$seconds" || return
    [[ $rounds -lt $full ]] || write_down "parsers: every fuzz target for $seconds s, 0 problems"
}

write_down() {
    local commit machine
    commit=$(git rev-parse --short=12 HEAD)
    # What this script wrote itself is no change of what was tested.
    git diff --quiet HEAD -- . ":!$results" || commit+=" and changes"
    machine="$(nproc) cores, $(uname -sm)"
    printf '| %s | %s | %s | %s |\n' "$(date -u +%Y-%m-%d)" "$commit" "$machine" "$1" >>"$results"
}

stage build build
stage SQLite rounds_on
with_postgres stage PostgreSQL rounds_on --postgres
with_postgres stage tests rounds_of_tests
venv=$(tools/venv.sh)
with_postgres stage generated generated
stage fuzz fuzz
[[ $rounds -lt $full ]] || printf '\nwritten down in %s\n' "$results"
