#!/usr/bin/env bash
# Coverage-guided fuzzing of the parsers in crates/syntax: every target for so many seconds, or one of them.
#
#   tools/fuzz.sh 60             each for a minute
#   tools/fuzz.sh 600 search     one for ten
#
# What was found so far stays in STRONGBACK_CACHE/fuzz and is where the next run goes on. A problem ends this, and the input that
# made it stays there as TARGET-crash-…; the target's binary takes it as its argument. Needs a C++ compiler, and no nightly Rust: the
# code is instrumented by flags that are stable.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?how many seconds each target is to run}
targets=${2:-search patterns names paths sources models declarations}
cache=${STRONGBACK_CACHE:-$HOME/.cache/strongback}
triple=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}/fuzz

coverage=(-Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=("-Cllvm-args=-sanitizer-coverage-$option")
done
RUSTFLAGS="${coverage[*]} --cfg fuzzing" cargo build --release --locked --manifest-path crates/syntax/fuzz/Cargo.toml --target "$triple"

for target in $targets; do
    mkdir -p "$cache/fuzz/$target"
    printf '%s: %s s\n' "$target" "$seconds"
    "$CARGO_TARGET_DIR/$triple/release/$target" "$cache/fuzz/$target" -max_total_time="$seconds" -max_len=600 -timeout=10 \
        -rss_limit_mb=2048 -artifact_prefix="$cache/fuzz/$target-" -verbosity=0 -print_final_stats=1
done
