#!/usr/bin/env bash
# Resolve the dependencies of each extra into a requirements file with hashes. The files name no host.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${BIN:-.venv/bin}/uv

compile() { # NAME ARGS...: pyproject.toml with these extras and groups -> locks/NAME.txt
  local name=$1
  shift
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
    --custom-compile-command "make locks" --output-file "locks/$name.txt" "$@"
}

compile operator pyproject.toml --extra operator
compile trainer pyproject.toml --extra trainer
compile cli pyproject.toml --extra cli
compile dev pyproject.toml --extra operator --extra trainer --extra cli --group test --group lint locks/dev.in
