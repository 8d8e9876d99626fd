#!/usr/bin/env bash
# Tells which tracked C++ and proto files clang-format would change; with --fix changes them.
# clang-format is Debian 12's (14): tools/setup.sh --lint installs it. Another version may judge otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=(--dry-run --Werror)
case ${1:-} in
  "") ;;
  --fix) mode=(-i) ;;
  *) echo "usage: tools/check_format.sh [--fix]" >&2; exit 2 ;;
esac
tool=$(command -v clang-format-14 || command -v clang-format) ||
  { echo "check_format.sh: clang-format is missing: run tools/setup.sh --lint" >&2; exit 1; }

mapfile -d '' files < <(git ls-files -z -- '*.h' '*.cc' '*.cu' '*.cuh' '*.proto')
if ((${#files[@]} == 0)); then exit 0; fi
"$tool" --style=file "${mode[@]}" "${files[@]}" ||
  { echo "check_format.sh: run tools/check_format.sh --fix" >&2; exit 1; }
echo "check_format.sh: ${#files[@]} files, $("$tool" --version)"
