#!/usr/bin/env bash
# How many times as many images a second the loader makes as another program, on the same photographs and on one core: runs
# both in turn and divides the medians. Called from the repository's root:
#
#   tests/benchmarks/compare_loader.sh PEER_COMMAND IMAGES [ROUNDS]
#
#   PEER_COMMAND  prints lines with "N img/s" or "med N ... img/s"; run by bash
#   IMAGES        a folder of *.jpg, of which those of 640x480 count; the ones PEER_COMMAND reads
#   ROUNDS        default: 3
#
# Variables: PEER_LINE, which of its lines counts, a regular expression, the last that fits ("workers=0 .*stacked");
# CORE, the number of the core (0).
#
# ssd300_whole and torchvision_whole decode all of an image before they crop it, as others do; the rest do not.
# caffe_interpolations is ssd300 with one of Caffe's five interpolations drawn for each image, the chain of
# experiments/voc/ssd300_vgg16.textproto (loader_benchmark.cc).
set -euo pipefail

if (($# < 2 || $# > 3)); then
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
readonly peer=$1 images=$2 rounds=${3:-3}
readonly line=${PEER_LINE:-workers=0 .*stacked} core=${CORE:-0}
readonly benchmark=bazel-bin/tests/benchmarks/loader_benchmark
bazel build //tests/benchmarks:loader_benchmark

work=$(mktemp -d)
readonly work
trap 'rm -rf "$work"' EXIT

# Median of the numbers in a file.
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

export OMP_NUM_THREADS=1
for ((round = 1; round <= rounds; ++round)); do
  echo "round $round of $rounds" >&2
  taskset -c "$core" bash -c "$peer" > "$work/peer.txt"
  found=$(grep -E -- "$line" "$work/peer.txt" | tail -n 1 || true)
  rate=$(sed -nE -e 's|.*[^0-9.]([0-9.]+) img/s med.*|\1|p; t' -e 's|.*med +([0-9.]+).*img/s.*|\1|p; t' \
    -e 's|.*[^0-9.]([0-9.]+) img/s.*|\1|p' <<< "$found")
  if [[ ! $rate ]]; then
    echo "no rate in a line like '$line' of what '$peer' printed:" >&2
    tail -n 5 "$work/peer.txt" >&2
    exit 1
  fi
  echo "$rate" >> "$work/peer.rates"
  # name,iterations,real_time,cpu_time,time_unit,bytes_per_second,items_per_second,...
  taskset -c "$core" "$benchmark" --images="$images" --benchmark_format=csv --benchmark_min_time=2 \
    --benchmark_filter='/((ssd300|torchvision)(_whole)?|caffe_interpolations)$' |
    awk -F, -v folder="$work" '/^"RunLoader\// { gsub(/"|RunLoader\//, "", $1); print $7 >> (folder "/" $1 ".ours") }'
done

reference=$(median "$work/peer.rates")
printf '%-20s %17s %17s\n' "" "images a second" "times the peer's"
printf '%-20s %17.1f\n' peer "$reference"
for file in "$work"/*.ours; do
  rate=$(median "$file")
  times=$(awk -v ours="$rate" -v peers="$reference" 'BEGIN { print ours / peers }')
  printf '%-20s %17.1f %17.2f\n' "$(basename "$file" .ours)" "$rate" "$times"
done
