#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy) over C++ files, on all cores. A file that includes LibTorch takes up to a minute.
#
#   tools/clang_tidy.sh                      the files changed since the main branch
#   tools/clang_tidy.sh --all                every tracked .cc file
#   tools/clang_tidy.sh ssd/core/boxes.cc    these
#
# Needs tools/setup.sh --lint, and the targets built once (generated headers). Writes compile_commands.json anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-} in
  --all) mapfile -t files < <(git ls-files -- '*.cc') ;;
  "") mapfile -t files < <({ git diff --name-only --diff-filter=d main -- '*.cc'; git ls-files -o --exclude-standard -- '*.cc'; } | sort -u) ;;
  -*) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 2 ;;
  *) files=("$@") ;;
esac
if ((${#files[@]} == 0)); then echo "clang_tidy.sh: no file has changed"; exit 0; fi
tool=$(command -v clang-tidy-14 || command -v clang-tidy) ||
  { echo "clang_tidy.sh: clang-tidy is missing: run tools/setup.sh --lint" >&2; exit 1; }
tools/compile_commands.py
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" "$tool" -p . --quiet
