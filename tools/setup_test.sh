#!/usr/bin/env bash
# What setup.sh does to a cache, and says, on machines that lack something. Packages, root, disk and network are played by
# programs of the same names; nothing is fetched or installed.
set -uo pipefail

export fakes=$TEST_TMPDIR
readonly bin=$fakes/bin
mkdir "$bin" "$fakes/tmp" "$fakes/home" "$fakes/pip"
# Nothing else is on PATH: there is sudo where a test makes one.
for program in awk basename bash cat chmod cmp comm cp dirname env find flock grep ldd mkdir mktemp mv paste python3 rm sed \
  sort tail true uname; do
  ln -s "$(type -P "$program")" "$bin/$program" || exit 1
done
readonly some_library=$(ldd "$BASH" | awk '/libc\.so/ { print $3 }')

# fake NAME: a program of that name, its text from stdin. $fakes/calls tells which were called.
fake() {
  { echo '#!/usr/bin/env bash'; cat; } > "$bin/$1"
  chmod +x "$bin/$1"
}
fake id <<< 'echo "${FAKE_UID:-0}"'
fake df <<< 'printf "heading\nfake 1 1 %s 1%% /\n" "${FAKE_FREE:-100000}"'
# What $fakes/lacking does not name is installed.
fake dpkg-query << 'END'
shift 2
for package; do grep -qxF "$package" "$fakes/lacking" || echo "installed $package"; done
END
fake_apt_get() {
  fake apt-get << 'END'
echo "apt-get $*" >> "$fakes/calls"
[[ $* == *" install "* ]] || exit 0
if [[ ${FAKE_APT_ERROR:-} ]]; then echo "$FAKE_APT_ERROR" >&2; exit 100; fi
: > "$fakes/lacking"
END
}
fake_apt_get
# A module, since setup.sh prefers /usr/bin/python3. Its wheel has of LibTorch what setup.sh looks for.
cat > "$fakes/pip/pip.py" << 'END'
import os
import signal
import sys
import zipfile

if "--version" in sys.argv:
  sys.exit()
with open(os.environ["fakes"] + "/calls", "a") as calls:
  print("pip", *sys.argv[1:], file=calls)
path = sys.argv[sys.argv.index("--dest") + 1] + "/torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl"
with zipfile.ZipFile(path, "w") as wheel:
  wheel.write(os.environ["FAKE_LIBRARY"], "torch/lib/libtorch_cpu.so")
  wheel.writestr("torch/include/torch/headeronly/version.h", '#define TORCH_VERSION "2.11.0"\n')
error, end = os.environ.get("FAKE_PIP_ERROR"), os.environ.get("FAKE_PIP_SIGNAL")
if error or end:
  os.truncate(path, os.path.getsize(path) // 2)
if end:
  os.kill(os.getppid(), signal.Signals[end])
if error or end:
  sys.exit(error or 1)
END

export PATH=$bin TMPDIR=$fakes/tmp HOME=$fakes/home XDG_CACHE_HOME=$fakes/cache SETUP_OS_RELEASE=$fakes/os-release
export PYTHONPATH=$fakes/pip PYTHONDONTWRITEBYTECODE=1 FAKE_LIBRARY=$some_library
unset LIBTORCH_ROOT
readonly prefix=$XDG_CACHE_HOME/ssd/libtorch-2.11.0
readonly library=$prefix/torch/lib/libtorch_cpu.so version=$prefix/torch/include/torch/headeronly/version.h
readonly ready="ready; LibTorch 2.11.0 is in $prefix/torch"

failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
# A Debian 12 with all packages, and without LibTorch.
fresh() {
  rm -rf "$XDG_CACHE_HOME"
  printf 'ID=debian\nVERSION_ID="12"\n' > "$SETUP_OS_RELEASE"
  : > "$fakes/lacking"
  : > "$fakes/calls"
}
# expect STATUS TEXT ARGUMENT...: setup.sh ends so and says TEXT; where it fails, that is its one line on stderr. It leaves no
# unfinished work.
expect() {
  local status=$1 text=$2 got=0 told
  shift 2
  tools/setup.sh "$@" > "$fakes/out" 2> "$fakes/err" < /dev/null || got=$?
  # A machine without AVX2 is warned of.
  told=$(sed '/: warning: /d' "$fakes/err")
  [[ $got == "$status" ]] || fail "exit status $got, not $status, for '$text': $told"
  if [[ $status == 1 && $* != *--check* ]]; then
    [[ $told == "setup.sh: "*"$text"* && $told != *$'\n'* ]] || fail "'$text' is not all that it says: $told"
  else
    grep -qF -- "$text" "$fakes/out" || fail "'$text' is not what it says: $(cat "$fakes/out")"
    [[ -z $told ]] || fail "says on stderr: $told"
  fi
  [[ -z $(find "$fakes/tmp" "$XDG_CACHE_HOME" -mindepth 1 \( -name 'unfinished.*' -o -path "$fakes/tmp/*" \) 2> /dev/null) ]] ||
    fail "leaves unfinished work, having said '$text'"
}
called() { grep -q "^$1 " "$fakes/calls"; }
# The name, time and size of every file.
contents() { find "$XDG_CACHE_HOME" -printf '%p %T@ %s\n' | sort; }

# --- a whole set-up, and what --check misses of it later ---------------------------------------------------------------

fresh
expect 1 "missing: LibTorch 2.11.0 in $prefix (torch " --check
[[ ! -e $XDG_CACHE_HOME && ! -s $fakes/calls ]] || fail "--check changes something"
expect 0 "$ready"
grep -q '^pip .*download .*--require-hashes .*--platform manylinux_2_28_x86_64 .*libtorch_cpu.txt$' "$fakes/calls" ||
  fail "pip is called so: $(cat "$fakes/calls")"
expect 0 "nothing is missing" --check

before=$(contents)
: > "$fakes/calls"
expect 0 "$ready"
[[ $(contents) == "$before" && ! -s $fakes/calls ]] || fail "a second run changes something"

lost() {
  expect 1 "missing: LibTorch 2.11.0 in $prefix (torch " --check
  expect 0 "$ready"
  expect 0 "nothing is missing" --check
}
rm "$library" && lost
: > "$library" && lost
echo '#define TORCH_VERSION "2.10.0"' > "$version" && lost
echo >> "$prefix/libtorch_cpu.txt" && lost
# As a set-up does that ends just before the last file.
rm "$prefix/libtorch_cpu.txt" && lost

# --- a download that is interrupted -----------------------------------------------------------------------------------

for error in "ERROR: Connection broken: IncompleteRead(1 bytes read)=no network (" \
  "ERROR: Could not find a version that satisfies the requirement torch==2.11.0 (from versions: none)=no network, or " \
  "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.=differs from the hash" \
  "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device=no disk space ("; do
  fresh
  FAKE_PIP_ERROR=${error%=*} expect 1 "cannot fetch LibTorch"
  grep -qF -- "${error##*=}" "$fakes/err" || fail "'${error%=*}' is told as: $(cat "$fakes/err")"
  [[ ! -e $prefix ]] || fail "half a LibTorch is left after: $error"
  expect 0 "$ready"
done

fresh
FAKE_PIP_SIGNAL=SIGTERM tools/setup.sh > "$fakes/out" 2>&1 < /dev/null
[[ $? == 143 && -z $(find "$XDG_CACHE_HOME/ssd" -name '*torch*' -o -name 'unfinished.*') ]] || fail "SIGTERM leaves something"
expect 0 "$ready"

fresh
{ FAKE_PIP_SIGNAL=SIGKILL tools/setup.sh > "$fakes/out" 2>&1 < /dev/null; } 2> /dev/null
[[ $? == 137 && ! -e $prefix ]] || fail "SIGKILL leaves half a LibTorch"
# Which also clears away what a killed one cannot.
expect 0 "$ready"

# --- what is lacking is said in one line ------------------------------------------------------------------------------

fresh
FAKE_FREE=10 expect 1 "no disk space: $XDG_CACHE_HOME/ssd needs 1700 MB, 10 MB are free"
XDG_CACHE_HOME=$SETUP_OS_RELEASE expect 1 "cannot write to $SETUP_OS_RELEASE/ssd; set XDG_CACHE_HOME"
HOME='' XDG_CACHE_HOME='' expect 1 "neither HOME nor XDG_CACHE_HOME is set"

echo git > "$fakes/lacking"
expect 1 "missing: packages: git" --check
FAKE_UID=1000 expect 1 "needs root or sudo for: apt-get install --no-install-recommends git"
fake sudo <<< 'exit 1'
FAKE_UID=1000 expect 1 "needs root, and sudo wants a password, for: apt-get install --no-install-recommends git"
FAKE_APT_ERROR="E: Failed to fetch http://deb.debian.org/debian/git.deb  Could not resolve 'deb.debian.org'" \
  expect 1 "cannot install packages: no network ("
FAKE_APT_ERROR="E: You don't have enough free space in /var/cache/apt/archives/." \
  expect 1 "cannot install packages: no disk space ("
called pip && fail "LibTorch is fetched without the packages"
fake sudo << 'END'
[[ $1 == -n ]] || echo "sudo $*" >> "$fakes/calls"
[[ $1 == -n ]] && shift
exec "$@"
END
FAKE_UID=1000 expect 0 "$ready"
called sudo && called apt-get && [[ ! -s $fakes/lacking ]] || fail "sudo does not install: $(cat "$fakes/calls")"
rm "$bin/sudo"

# --- another distribution goes on -------------------------------------------------------------------------------------

fresh
printf 'ID=fedora\nVERSION_ID=40\n' > "$SETUP_OS_RELEASE"
echo git > "$fakes/lacking"
FAKE_UID=1000 expect 0 "$ready"
for text in "fedora 40 is untried (Debian 12 is); it needs these packages, by whatever name: bazel-bootstrap " \
  "needs root or sudo for: apt-get install --no-install-recommends git; going on"; do
  grep -qF -- "$text" "$fakes/out" || fail "'$text' is not said of another distribution: $(cat "$fakes/out")"
done
rm -r "$XDG_CACHE_HOME"
FAKE_APT_ERROR="E: Unable to locate package git" expect 0 "$ready"
grep -qF "E: Unable to locate package git; going on" "$fakes/out" || fail "goes on, saying: $(cat "$fakes/out")"
rm "$bin/apt-get"
expect 0 "there is no apt-get: packages are neither checked nor installed"
fresh
expect 1 "there is no apt-get"
fake_apt_get

# --- a LibTorch of one's own ------------------------------------------------------------------------------------------

fresh
expect 0 "$ready"
mv "$prefix/torch" "$fakes/own"
fresh
export LIBTORCH_ROOT=$fakes/own
expect 0 "ready; LibTorch 2.11.0 is in $fakes/own"
expect 0 "nothing is missing; LibTorch 2.11.0 is in $fakes/own" --check
rm "$fakes/own/lib/libtorch_cpu.so"
expect 1 "LIBTORCH_ROOT=$fakes/own cannot be used: it has no lib/libtorch_cpu.so"
expect 1 "missing: LibTorch 2.11.0 in LIBTORCH_ROOT=$fakes/own: it has no lib/libtorch_cpu.so" --check
[[ ! -e $XDG_CACHE_HOME && ! -s $fakes/calls ]] || fail "with LIBTORCH_ROOT set, LibTorch is fetched"

((failures == 0)) || exit 1
echo "all as expected"
