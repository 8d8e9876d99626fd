#!/usr/bin/env bash
# What setup.sh --check says of a LibTorch that is whole, and of one that has lost something since it was installed.
set -uo pipefail

export XDG_CACHE_HOME=$TEST_TMPDIR/cache
unset LIBTORCH_ROOT
readonly prefix=$XDG_CACHE_HOME/ssd/libtorch-2.11.0
readonly library=$prefix/torch/lib/libtorch_cpu.so version=$prefix/torch/include/torch/headeronly/version.h

failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
is_missing() {
  told=$(tools/setup.sh --check 2>&1)
  [[ $told == *"missing: LibTorch 2.11.0 in $prefix (torch "* ]]
}
# Any library stands for LibTorch's.
install() {
  mkdir -p "$(dirname "$library")" "$(dirname "$version")"
  cp -L "$(ldd "$BASH" | awk '/libc\.so/ { print $3 }')" "$library"
  echo '#define TORCH_VERSION "2.11.0"' > "$version"
  cp tools/setup/libtorch_cpu.txt "$prefix"
}

is_missing || fail "before it is installed: $told"
install
is_missing && fail "once it is installed: $told"
rm "$library"
is_missing || fail "without its library: $told"
install
: > "$library"
is_missing || fail "with an empty library: $told"
install
echo '#define TORCH_VERSION "2.10.0"' > "$version"
is_missing || fail "with headers of another version: $told"
install
echo >> "$prefix/libtorch_cpu.txt"
is_missing || fail "from another list: $told"
install
is_missing && fail "once it is whole again: $told"

((failures == 0)) || exit 1
echo "all as expected"
