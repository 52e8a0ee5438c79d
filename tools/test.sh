#!/usr/bin/env bash
# Everything that has to be true before a change is kept; what `make test` runs.
#
#   tools/test.sh                  all stages, in this order
#   tools/test.sh rust clients     only these
#
# Stages: format, python, dependencies, clippy, rust, demo, clients. The first failure ends it with a non-zero exit code.
# The last line of a full run is the summary of the client tests, on both databases.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/stage.sh
source tools/with_postgres.sh

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${STRONGBACK_CACHE:-$HOME/.cache/strongback}/target}
export STRONGBACK_BIN=${STRONGBACK_BIN:-$CARGO_TARGET_DIR/debug/strongback}

format() {
    cargo fmt --all --check -- --files-with-diff || { echo "format: the files above differ; 'make fmt' rewrites them."; return 1; }
}

python() {
    "$venv/bin/ruff" check . && "$venv/bin/ruff" format --check . \
        && python3 -m doctest tools/check_dependencies.py
}

dependencies() {
    python3 tools/check_dependencies.py || return
    if command -v cargo-deny >/dev/null; then
        cargo deny --offline check licenses bans sources
    else
        echo "dependencies: cargo-deny is not installed; the check above covers licences, bans and sources without it."
    fi
}

clippy() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
}

# One selection of packages for building and testing: another would compile shared dependencies with other features again.
rust() {
    if command -v cargo-nextest >/dev/null; then
        cargo nextest run --workspace --locked --no-fail-fast && cargo test --workspace --locked --doc --quiet
    else
        echo "rust: cargo-nextest is not installed; running the same tests by cargo test."
        cargo test --workspace --locked --no-fail-fast
    fi
}

# With --all-targets the features are those of the stage `rust`, so nothing is compiled twice.
binary() {
    cargo build --workspace --all-targets --locked
}

# The whole of it, as `make demo` runs it: real data, all 200 runs, within the time that it promises, and with the pages
# of the installed mlflow. A slower machine may be given more time.
demo() {
    binary || return
    local log started=$SECONDS limit_s=${STRONGBACK_DEMO_LIMIT_S:-600}
    log=$(mktemp)
    at_exit "rm -f '$log'"
    "$venv/bin/python" examples/fraud/demo.py | tee "$log" || return
    if ! grep -q 'MLflow web UI of your own' "$log"; then
        echo "demo: MLflow's own pages were not served" >&2
        return 1
    fi
    if ((SECONDS - started > limit_s)); then
        echo "demo: took $((SECONDS - started)) s, more than the $limit_s s that it promises (STRONGBACK_DEMO_LIMIT_S)" >&2
        return 1
    fi
}

clients() {
    # A process of its own for the browser: its driver keeps an event loop that other clients would trip over. Of the others two
    # run at once, a file each, with servers of their own: half of their time is waiting.
    binary && "$venv/bin/python" -m pytest tests/clients/browser \
        && "$venv/bin/python" -m pytest tests/clients --ignore=tests/clients/browser -n 2 --dist loadfile
}

stages=("$@")
[[ ${#stages[@]} -gt 0 ]] || stages=(format python dependencies clippy rust demo clients)
for name in "${stages[@]}"; do
    case $name in
        format | dependencies | clippy) stage "$name" "$name" ;;
        python | demo) venv=$(tools/venv.sh); stage "$name" "$name" ;;
        rust) with_postgres stage "$name" "$name" ;;
        # Not under `stage`: the last line printed has to be the runner's own.
        clients) venv=$(tools/venv.sh); printf '\n── clients\n'; with_postgres clients ;;
        *) echo "test: no stage '$name'; there are format, python, dependencies, clippy, rust, demo, clients" >&2; exit 2 ;;
    esac
done
