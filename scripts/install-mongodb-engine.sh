#!/usr/bin/env bash
# Where do the MongoDB store's tests get a server from, on a machine that has none? SecantusDB, from PyPI: it speaks
# MongoDB's protocol over WiredTiger, MongoDB's own storage engine. It is put under .cache and used by tests alone.
# Prints the path of the program; does nothing where it is there already.
set -euo pipefail
version=0.7.0b3
folder="$(cd "$(dirname "$0")/.." && pwd)/.cache/secantusdb-$version"
program="$folder/bin/secantusd-py"

if ! [ -x "$program" ] || ! "$program" --help >/dev/null 2>&1; then
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "SecantusDB==$version" >&2
fi
echo "$program"
