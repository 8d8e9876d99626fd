#!/usr/bin/env bash
# Builds a fuzz target with clang's libFuzzer and the address sanitizer, outside Bazel, and runs it.
#
#   tests/fuzz/fuzz.sh TARGET [libFuzzer's arguments]
#
# TARGET is one of the *_fuzzer.cc here: caffe_model, coco, idx, image, npy, packed, pickle, safetensors, table,
# tensor_archive, torch_file, torch_zip, voc or yolo. For example `tests/fuzz/fuzz.sh torch_zip -max_total_time=600 -jobs=2`.
# An input that takes 10 seconds or 2.5 GB is a failure, unless -timeout and -rss_limit_mb say otherwise. What is found stays
# in build/fuzz/TARGET, a failure as build/fuzz/TARGET/{crash,timeout,oom}-*. Needs clang 14 or later (apt-get install
# clang), LibTorch as tools/setup.sh has it or in LIBTORCH_ROOT. Libraries are not instrumented.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=${1:-}
# Files that nothing includes: what registers itself.
case $target in
  coco | packed | table | voc | yolo) files=("data/$target.cc") ;;
  caffe_model | idx | image | npy | pickle | safetensors | tensor_archive | torch_file | torch_zip) files=() ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
case $target in
  safetensors | torch_file) seeds=tests/golden/torch_files ;;
  torch_zip) seeds=tests/fuzz/seeds/pickle ;;
  *) seeds=tests/fuzz/seeds/$target ;;
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

# All that the target includes of this repository, with the .cc or .proto beside each header.
declare -A seen=()
sources=() protos=()
files+=("tests/fuzz/${target}_fuzzer.cc")
while ((${#files[@]})); do
  file=${files[0]}
  files=("${files[@]:1}")
  if [[ ${seen[$file]:-} || ! -f $file ]]; then continue; fi
  seen[$file]=1
  case $file in
    *.cc) sources+=("$file") ;;
    *.proto)
      protos+=("$file")
      sources+=("$folder/${file%.proto}.pb.cc")
      ;;
  esac
  while IFS= read -r name; do
    case $name in
      *.pb.h) files+=("${name%.pb.h}.proto") ;;
      *.h) files+=("$name" "${name%.h}.cc") ;;
      *.proto) files+=("$name") ;;
    esac
  done < <(sed -nE 's/^(#include|import) "((ssd|data|tests)\/[^"]+)".*/\2/p' "$file")
done
if ((${#protos[@]})); then protoc --cpp_out="$folder" "${protos[@]}"; fi

# RapidJSON 1.1.0 adds to a null pointer.
printf '[pointer-overflow]\nsrc:*/rapidjson/*stack.h\n' > "$folder/ignorelist"
flags=(-std=c++17 -O1 -g -fno-omit-frame-pointer "-fsanitize=fuzzer,address,undefined" -fno-sanitize=vptr
  -fno-sanitize-recover=undefined "-fsanitize-ignorelist=$folder/ignorelist" -march=x86-64-v3 -I. "-I$folder"
  "-isystem$folder/include" "-isystem$folder/include/torch/csrc/api/include" -isystem/usr/include/opencv4)
read -ra absl <<< "$(pkg-config --libs absl_status absl_statusor absl_strings absl_str_format absl_cleanup)"
libraries=(-Wl,--as-needed -ltorch_cpu -lc10 "${absl[@]}" -lprotobuf -lglog -lopencv_imgcodecs -lopencv_imgproc
  -lopencv_core -lpugixml -llmdb -ljpeg -lz -lpthread)
"$compiler" "${flags[@]}" "${sources[@]}" -o "$folder/fuzzer" "-L$torch/lib" "-Wl,-rpath,$torch/lib" \
  -Wl,--allow-shlib-undefined "${libraries[@]}"

# The datasets warn of boxes that they drop, OpenCV of images.
export GLOG_minloglevel=2 OPENCV_LOG_LEVEL=SILENT
exec "$folder/fuzzer" "-artifact_prefix=$folder/" -timeout=10 -rss_limit_mb=2560 "$@" "$folder/corpus" "$seeds"
