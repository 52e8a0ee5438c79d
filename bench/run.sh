#!/bin/sh
# Builds release, then measures everything beside MLflow's own server; what follows the script's name goes to
# strongback-bench. Needs STRONGBACK_VENV, a Python environment that holds mlflow. Exit status 2: too noisy to tell.
set -eu
cd "$(dirname "$0")/.."
: "${STRONGBACK_VENV:?set it to a Python environment that holds mlflow}"
target=${CARGO_TARGET_DIR:-target}
# One selection of packages, as everywhere: another would compile shared dependencies again.
cargo build --workspace --release --locked
# Not what STRONGBACK_BIN may name: elsewhere that is a debug binary. `--binary` names another one.
STRONGBACK_BIN=$target/release/strongback
export STRONGBACK_BIN STRONGBACK_VENV
exec "$target/release/strongback-bench" "$@"
