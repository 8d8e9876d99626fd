#!/usr/bin/env bash
# Builds a fuzz target with clang's libFuzzer and the address sanitizer, outside Bazel, and runs it.
#
#   tests/fuzz/fuzz.sh TARGET [libFuzzer's arguments]      TARGET: pickle, torch_file, safetensors or caffe_model
#
# For example `tests/fuzz/fuzz.sh torch_file -max_total_time=600 -jobs=2`. What is found stays in build/fuzz/TARGET, a
# failure as build/fuzz/TARGET/crash-*. Needs clang 14 or later (apt-get install clang), LibTorch as tools/setup.sh has it
# or in LIBTORCH_ROOT. LibTorch itself is not instrumented.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=${1:-}
case $target in
  pickle) sources=(pickle) ;;
  torch_file) sources=(torch_file pickle zip_archive mapped_file) ;;
  safetensors) sources=(safetensors mapped_file) ;;
  caffe_model) sources=(caffe_model mapped_file) ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
shift
compiler=$(command -v clang++ || command -v clang++-14) ||
  { echo "fuzz.sh: clang++ is missing: apt-get install clang" >&2; exit 1; }
torch=${LIBTORCH_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ssd/libtorch-2.11.0/torch}
[[ -d $torch/include/ATen ]] || { echo "fuzz.sh: no LibTorch in $torch: run tools/setup.sh" >&2; exit 1; }

readonly folder=$PWD/build/fuzz/$target
mkdir -p "$folder/corpus" "$folder/include"
# The wheel's include/google is another protobuf than the system's.
for entry in "$torch"/include/*; do
  [[ $(basename "$entry") == google ]] || ln -sfn "$entry" "$folder/include/$(basename "$entry")"
done
flags=(-std=c++17 -O1 -g -fno-omit-frame-pointer "-fsanitize=fuzzer,address,undefined" -fno-sanitize-recover=undefined
  -march=x86-64-v3 -I. "-I$folder" "-isystem$folder/include" "-isystem$folder/include/torch/csrc/api/include")
files=("tests/fuzz/${target}_fuzzer.cc" ssd/core/file.cc)
for source in "${sources[@]}"; do files+=("ssd/weights/$source.cc"); done
if [[ $target == caffe_model ]]; then
  protoc --cpp_out="$folder" ssd/weights/caffe.proto
  files+=("$folder/ssd/weights/caffe.pb.cc")
fi
read -ra absl <<< "$(pkg-config --libs absl_status absl_statusor absl_strings absl_str_format absl_cleanup)"
"$compiler" "${flags[@]}" "${files[@]}" -o "$folder/fuzzer" "-L$torch/lib" "-Wl,-rpath,$torch/lib" \
  -Wl,--allow-shlib-undefined -ltorch_cpu -lc10 "${absl[@]}" -lprotobuf -lz -lpthread

seeds=(tests/golden/torch_files)
if [[ $target == caffe_model || $target == pickle ]]; then seeds=(tests/fuzz/seeds); fi
exec "$folder/fuzzer" "-artifact_prefix=$folder/" "$@" "$folder/corpus" "${seeds[@]}"
