#!/usr/bin/env bash
# Installs what the build needs and this machine lacks: packages of the distribution, and LibTorch.
#
#   tools/setup.sh            packages (by apt-get) and LibTorch 2.11.0 for the CPU
#   tools/setup.sh --cuda     CUDA's libraries and compiler as well, for bazel build --config=cuda
#   tools/setup.sh --lint     clang-format and clang-tidy as well
#   tools/setup.sh --check    changes nothing; tells what is missing, and then ends with status 1
#   tools/setup.sh --help     prints this
#
# Run again, it changes nothing and takes a second. Packages need root or sudo. LibTorch comes out of the Python wheel
# `torch` (nothing of Python is used), checked against recorded hashes, into the user's cache:
# ${XDG_CACHE_HOME:-~/.cache}/ssd/libtorch-2.11.0/{torch,nvidia}. Where LIBTORCH_ROOT names a torch folder, that one is
# checked and used, and nothing is fetched. pip's and apt's own settings (indexes, proxies, certificates) apply.
#
# Exit status: 0 all is there; 1 something is missing or failed, said in one line; 2 the command line is wrong.
set -euo pipefail
export LC_ALL=C.UTF-8

readonly version=2.11.0
lists=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/setup
readonly lists

say() { echo "setup.sh: $*"; }
die() { echo "setup.sh: $*" >&2; exit 1; }

check=false cuda=false lint=false
for argument in "$@"; do
  case $argument in
    --check) check=true ;;
    --cuda) cuda=true ;;
    --lint) lint=true ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "setup.sh: unknown argument '$argument'; there are --cuda, --lint, --check and --help" >&2; exit 2 ;;
  esac
done

# --- what is missing -------------------------------------------------------------------------------------------------

missing_anything=false
missing() { missing_anything=true; say "missing: $*"; }

# Prints the names in list files, without comments.
names() { sed 's/#.*//; /^[[:space:]]*$/d' "$@"; }

missing_packages() {
  comm -23 <(printf '%s\n' "$@" | sort -u) \
    <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2> /dev/null | sed -n 's/^installed //p' | sort -u)
}

# The libraries of LibTorch that the build links.
torch_libraries=(libtorch_cpu.so)
if $cuda; then torch_libraries+=(libtorch_cuda.so); fi

# Prints what the wheel `torch` should have brought into the torch folder $1 and did not; nothing if all is there.
torch_loss() {
  local root=$1 header=$1/include/torch/headeronly/version.h library
  for library in "${torch_libraries[@]}"; do
    [[ -f $root/lib/$library ]] || { echo "it has no lib/$library"; return; }
  done
  grep -qs "\"$version\"" "$header" || echo "it is not version $version ($header)"
}

# Prints why the library $2 of the torch folder $1 cannot be loaded; nothing if it can.
library_fault() {
  local lost
  # libcuda is the driver's: a machine without a GPU builds, and runs on the CPU, without it.
  lost=$(ldd "$1/lib/$2" 2> /dev/null | awk '/not found/ && !/libcuda\.so/ { printf " %s", $1 }') ||
    { echo "lib/$2 is no library"; return; }
  [[ -z $lost ]] || echo "libraries that lib/$2 needs are not found:$lost"
}

# Prints why the torch folder $1 cannot be used; nothing if it can.
torch_fault() {
  local fault library
  fault=$(torch_loss "$1")
  for library in "${torch_libraries[@]}"; do
    [[ $fault ]] || fault=$(library_fault "$1" "$library")
  done
  [[ -z $fault ]] || echo "$fault"
}

[[ $(uname -sm) == "Linux x86_64" ]] || die "needs Linux on x86-64; this is $(uname -sm)"
if ! grep -qm1 -w avx2 /proc/cpuinfo 2> /dev/null; then
  say "warning: no AVX2 in /proc/cpuinfo; .bazelrc compiles for x86-64-v3 (2013 and later)" >&2
fi

package_lists=("$lists/packages.txt")
if $lint; then package_lists+=("$lists/packages_lint.txt"); fi
mapfile -t packages < <(names "${package_lists[@]}")

# The variable is for setup_test.sh.
system=$(. "${SETUP_OS_RELEASE:-/etc/os-release}" 2> /dev/null && echo "${ID:-unknown} ${VERSION_ID:-}" || true)
tried=true
if [[ $system != "debian 12" ]]; then
  tried=false
  say "${system:-this system} is untried (Debian 12 is); it needs these packages, by whatever name: ${packages[*]}"
fi

requirements=("$lists/libtorch_cpu.txt")
if $cuda; then requirements+=("$lists/libtorch_cuda.txt"); fi

if [[ -z ${LIBTORCH_ROOT:-} ]]; then
  [[ ${XDG_CACHE_HOME:-}${HOME:-} ]] || die "neither HOME nor XDG_CACHE_HOME is set, so there is no place for LibTorch"
fi
readonly cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/ssd
readonly prefix=$cache/libtorch-$version

# Prints the requirement lists whose wheels are not unpacked yet, or not whole any more. A list is copied beside them
# when they all are. What the first one lacks the others lack, too: they are loaded together.
missing_wheels() {
  local i fault
  fault=$(torch_loss "$prefix/torch")
  for i in "${!requirements[@]}"; do
    [[ $fault ]] || fault=$(library_fault "$prefix/torch" "${torch_libraries[i]}")
    if [[ $fault ]] || ! cmp -s "${requirements[i]}" "$prefix/$(basename "${requirements[i]}")"; then
      echo "${requirements[i]}"
    fi
  done
}

# Prints a Python that has pip, Debian's first. PIP_REQUIRE_VIRTUALENV is about installing, and nothing is installed.
export PIP_REQUIRE_VIRTUALENV=0
python_with_pip() {
  local python
  for python in /usr/bin/python3 python3; do
    if "$python" -m pip --version > /dev/null 2>&1; then echo "$python"; return; fi
  done
}

wheels=()
if [[ -z ${LIBTORCH_ROOT:-} ]]; then
  mapfile -t wheels < <(missing_wheels)
  if ((${#wheels[@]})) && [[ -z $(python_with_pip) ]]; then packages+=(python3-pip); fi
fi

to_install=()
if command -v dpkg-query > /dev/null && command -v apt-get > /dev/null; then
  mapfile -t to_install < <(missing_packages "${packages[@]}")
elif $tried; then
  die "there is no apt-get"
else
  say "there is no apt-get: packages are neither checked nor installed"
fi

if $check; then
  if ((${#to_install[@]})); then missing "packages: ${to_install[*]}"; fi
  if [[ ${LIBTORCH_ROOT:-} ]]; then
    fault=$(torch_fault "$LIBTORCH_ROOT")
    [[ -z $fault ]] || missing "LibTorch $version in LIBTORCH_ROOT=$LIBTORCH_ROOT: $fault"
  elif ((${#wheels[@]})); then
    missing "LibTorch $version in $prefix ($(names "${wheels[@]}" | sed -n 's/==.*//p' | paste -sd ' '))"
  fi
  if $missing_anything; then exit 1; fi
  say "nothing is missing; LibTorch $version is in ${LIBTORCH_ROOT:-$prefix/torch}"
  exit 0
fi

# --- installing ------------------------------------------------------------------------------------------------------

# A folder for the log and for unfinished work; removed however this ends.
work=
clean_up() { if [[ $work ]]; then rm -rf "$work"; fi; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Prints, from the log $1 of a failed command, what was lacking.
reason() {
  local last
  last=$(grep -E '^(E:|ERROR:|error:)|: error:' "$1" | tail -1 || true)
  if grep -qE 'No space left|enough free space' "$1"; then
    echo "no disk space (${last:-No space left on device})"
  elif grep -qi 'do not match the hashes' "$1"; then
    echo "a wheel differs from the hash recorded in $lists"
  elif grep -qE 'resolv|Network is unreachable|Could not connect|NewConnectionError|Connection (refused|timed out|broken)|[Tt]imed? ?out' "$1"; then
    echo "no network (${last:-no connection})"
  elif grep -q 'from versions: none' "$1"; then
    echo "no network, or pip's index does not have it ($last)"
  else
    echo "${last:-$(tail -1 "$1")}"
  fi
}

# What keeps root from being asked; empty: nothing does.
obstacle= as_root=()
if [[ $(id -u) != 0 ]]; then
  as_root=(sudo)
  if ! command -v sudo > /dev/null; then
    obstacle="needs root or sudo"
  # Without a terminal sudo cannot ask for a password.
  elif [[ ! -t 0 ]] && ! sudo -n true 2> /dev/null; then
    obstacle="needs root, and sudo wants a password,"
  fi
fi

if ((${#to_install[@]})) && [[ $obstacle ]]; then
  told="$obstacle for: apt-get install --no-install-recommends ${to_install[*]}"
  if $tried; then die "$told"; fi
  say "$told; going on"
elif ((${#to_install[@]})); then
  work=$(mktemp -d) || die "no disk space for temporary files in ${TMPDIR:-/tmp}"
  say "installing packages (${#to_install[@]}): ${to_install[*]}"
  apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -q -o DPkg::Lock::Timeout=600)
  installed=true
  # One unreachable source is no reason to stop: the packages may well come from another.
  "${apt_get[@]}" update > "$work/log" 2>&1 < /dev/null || true
  "${apt_get[@]}" install -y --no-install-recommends "${to_install[@]}" >> "$work/log" 2>&1 < /dev/null ||
    installed=false
  if ! $installed; then
    if $tried; then die "cannot install packages: $(reason "$work/log")"; fi
    say "apt-get cannot install them: $(reason "$work/log"); going on"
  fi
  rm -rf "$work"
  work=
fi

if [[ ${LIBTORCH_ROOT:-} ]]; then
  fault=$(torch_fault "$LIBTORCH_ROOT")
  [[ -z $fault ]] || die "LIBTORCH_ROOT=$LIBTORCH_ROOT cannot be used: $fault"
elif ((${#wheels[@]})); then
  mkdir -p "$cache" 2> /dev/null && [[ -w $cache ]] || die "cannot write to $cache; set XDG_CACHE_HOME"
  exec {lock}> "$cache/setup.lock"
  if ! flock -n "$lock"; then
    say "waiting for another setup.sh"
    flock "$lock"
  fi
  # Holding the lock, nobody else is at work: what an earlier run could not clean up is rubbish.
  rm -rf "$cache"/unfinished.*
  mapfile -t wheels < <(missing_wheels)
fi

if ((${#wheels[@]})); then
  # Wheels and what comes out of them lie side by side for a while, in MB.
  if $cuda; then needed=7600; else needed=1700; fi
  free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
  ((free >= needed)) || die "no disk space: $cache needs $needed MB, $free MB are free"
  python=$(python_with_pip)
  [[ $python ]] || die "there is no pip for python3"

  work=$(mktemp -d "$cache/unfinished.XXXXXX")
  mkdir "$work/wheels" "$work/tmp" "$work/tree"
  say "fetching LibTorch $version ($(names "${wheels[@]}" | grep -c '==') wheels)"
  platforms=()
  for tag in manylinux_2_{28,27,25,18,17,12,5} manylinux{2014,2010,1}; do platforms+=(--platform "${tag}_x86_64"); done
  output=$work/log
  if [[ -t 1 ]]; then output=/dev/stdout; fi
  TMPDIR=$work/tmp "$python" -m pip --disable-pip-version-check download --require-hashes --no-deps --no-cache-dir \
    --only-binary=:all: --python-version 3.12 --implementation cp "${platforms[@]}" --dest "$work/wheels" \
    "${wheels[@]/#/--requirement=}" > "$output" 2>> "$work/log" < /dev/null ||
    die "cannot fetch LibTorch: $(reason "$work/log")"
  say "unpacking into $prefix"
  "$python" "$lists/unpack_wheels.py" "$work/tree" "$work"/wheels/*.whl 2>> "$work/log" ||
    die "cannot unpack LibTorch: $(reason "$work/log")"

  # The new files come into place whole: by one rename where nothing was, else file by file beside what is there.
  # The lists follow last, so a run that is interrupted here is repeated.
  if [[ -e $prefix ]]; then
    cp --archive --link --force "$work/tree/." "$prefix/" 2>> "$work/log" || die "cannot fill $prefix: $(reason "$work/log")"
  else
    mv -T "$work/tree" "$prefix"
  fi
  fault=$(torch_fault "$prefix/torch")
  [[ -z $fault ]] || die "LibTorch in $prefix/torch cannot be used: $fault"
  for list in "${wheels[@]}"; do
    cp "$list" "$work/list"
    mv "$work/list" "$prefix/$(basename "$list")"
  done
fi

say "ready; LibTorch $version is in ${LIBTORCH_ROOT:-$prefix/torch}"
