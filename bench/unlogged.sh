#!/bin/sh
# Builds the server without its payload log, which nobody can switch off, and prints where the binary is: for bench/log_cost.py
# alone, from a copy of the checkout in which the one line that logs a request is not reached. Everything else is the same
# code, built the same way, and what the copy does not change is not built again.
#
#     bench/unlogged.sh [release|debug]      builds; --check only says whether the line is where it is expected
set -eu
cd "$(dirname "$0")/.."
file=crates/strongback/src/serving/invocations.rs
line='    log::keep(deployed, served).await?;'
if [ "$(grep -cxF "$line" "$file")" != 1 ]; then
    echo "$file does not have the line '$line' once: bench/unlogged.sh has to be told how a request is logged now" >&2
    exit 1
fi
folder=${1:-release}
[ "$folder" != --check ] || exit 0
case $folder in debug) profile=dev ;; *) profile=$folder ;; esac
target=${CARGO_TARGET_DIR:-$PWD/target}
scratch=$target/unlogged
rm -rf "$scratch"
mkdir -p "$scratch/checkout" "$scratch/target"
# With their times, so that only what differs counts as changed.
git ls-files -z | xargs -0 cp --parents -p -t "$scratch/checkout"
sed -i "s|^$line\$|    if std::hint::black_box(false) { log::keep(deployed, served).await?; }|" "$scratch/checkout/$file"
# By links: nothing takes room twice. What is built anew must not be written through them.
cp -al "$target/$folder" "$scratch/target/$folder"
rm -rf "$scratch/target/$folder/incremental"
find "$scratch/target/$folder" -depth \( -name 'strongback-*' -o -name 'libstrongback*' -o -name strongback -o -name '.cargo-*lock' \) -exec rm -rf {} +
cd "$scratch/checkout"
CARGO_TARGET_DIR=$scratch/target cargo build --workspace --locked --profile "$profile" >&2
echo "$scratch/target/$folder/strongback"
