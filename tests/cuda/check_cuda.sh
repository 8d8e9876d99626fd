#!/usr/bin/env bash
# Tries a GPU with whole runs and prints what it saw. Called from the repository's root:
#
#   tests/cuda/check_cuda.sh [--train=COMMAND] [--bccd=FOLDER] [--output=FOLDER]
#
#   --train   starts the trainer; default: bazel run --config=cuda //tools:train --
#   --bccd    BCCD in VOC's layout (https://github.com/Shenggan/BCCD_Dataset); without it that part is not run
#   --output  for runs and logs; default: a new folder under ${TMPDIR:-/tmp}
#
# It compares the first 20 losses of the quick start with the processor's, trains the quick start, goes on with a
# stopped run, trains BCCD, and times training steps of SSD300. Exit status: 0 if all of it passed.
set -euo pipefail

train="bazel run --config=cuda //tools:train --"
bccd="" output=""
for argument in "$@"; do
  case $argument in
    --train=*) train=${argument#*=} ;;
    --bccd=*) bccd=$(realpath "${argument#*=}") ;;
    --output=*) output=${argument#*=} ;;
    *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
if [[ $output ]]; then mkdir -p "$output"; output=$(realpath "$output"); else output=$(mktemp -d "${TMPDIR:-/tmp}/check_cuda.XXXXXX"); fi
read -ra train <<< "$train"
readonly root=$PWD quickstart=$PWD/experiments/quickstart/digits.textproto

failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
# run NAME ARGUMENT...: trains into $output/NAME.
run() {
  local name=$1 started=$SECONDS
  shift
  if ! "${train[@]}" --output="$output/$name" "$@" > "$output/$name.log" 2>&1; then
    tail -n 5 "$output/$name.log"
    fail "$name (see $output/$name.log)"
    return 1
  fi
  echo "$name: $((SECONDS - started)) s"
}
# The values of KEY in the lines of a metrics.jsonl, one a line.
values() { sed -n "s/.*\"$1\":\([-+0-9.e]*\).*/\1/p" "$2"; }

echo "== the first 20 losses, FP32: CPU, CUDA, relative difference"
first=(--config="$quickstart" trainer.steps=20 trainer.log_every=1 trainer.evaluate_every=0)
if run cpu20 --device=cpu "${first[@]}" && run cuda20 --device=cuda "${first[@]}"; then
  paste <(values train.loss "$output/cpu20/metrics.jsonl") <(values train.loss "$output/cuda20/metrics.jsonl") |
    awk '{ d = ($2 - $1) / $1; if (d < 0) d = -d; if (d > worst) worst = d; printf "%10.5f %10.5f  %.1e\n", $1, $2, d }
         END { printf "largest %.1e of %d\n", worst, NR; exit !(NR == 20 && worst < 0.02) }' ||
    fail "the losses differ"
fi

echo "== the quick start, and the same stopped half-way and resumed"
if run whole --device=cuda --config="$quickstart"; then
  grep -o '"AP50": *[0-9.]*' "$output/whole/metrics.json" | head -n 1
  half=$(($(values step "$output/whole/metrics.jsonl" | tail -n 1) / 2))
  "${train[@]}" --output="$output/stopped" --device=cuda --config="$quickstart" trainer.checkpoint_every=50 \
    > "$output/stopped.log" 2>&1 &
  child=$!
  until [[ $(values step "$output/stopped/metrics.jsonl" 2> /dev/null | tail -n 1) -ge $half ]] ||
    ! kill -0 $child 2> /dev/null; do sleep 0.1; done
  # Below "bazel run" the program is a descendant; the signal is for the one that writes this folder.
  pkill -KILL -f -- "--output=$output/stopped" || fail "the run ended before it was stopped"
  wait $child 2> /dev/null || true
  if run stopped --resume --device=cuda --config="$quickstart" trainer.checkpoint_every=50; then
    if cmp -s "$output/whole/detections.json" "$output/stopped/detections.json"; then
      echo "resumed: the same detections.json, byte for byte"
    else
      fail "the resumed run's detections.json differs"
    fi
  fi
fi

echo "== BCCD"
if [[ $bccd ]]; then
  run bccd --device=cuda --config="$root/experiments/voc/bccd.textproto" data.train.voc.root="$bccd" &&
    grep -o '"AP\(50\)\?": *[0-9.]*' "$output/bccd/metrics.json" | head -n 2
else
  echo "not run: --bccd is not given"
fi

echo "== images a second, training SSD300 (8732 anchors, 10 classes), 50 steps"
for backbone in resnet18 resnet50 vgg16; do
  case $backbone in
    resnet*) layers="resnet { depth: ${backbone#resnet} width: 64 }" ;;
    *) layers="$backbone {}" ;;
  esac
  cat > "$output/ssd300_$backbone.textproto" << END
# proto-file: experiments/experiment.proto
# proto-message: ssd.Experiment
base: "$quickstart"
model {
  num_levels: 6
  input { height: 300 width: 300 }
  backbone { $layers }
  neck { ssd_extras { channels: [512, 256, 256] } }
  anchor_generator {
    ssd {
      level { aspect_ratio: 2 }
      level { aspect_ratio: [2, 3] }
      level { aspect_ratio: [2, 3] }
      level { aspect_ratio: [2, 3] }
      level { aspect_ratio: 2 }
      level { aspect_ratio: 2 }
    }
  }
}
END
  for precision in FP32 BF16; do
    for batch in 8 32 128; do
      name=ssd300_${backbone}_${precision}_$batch
      run "$name" --device=cuda --config="$output/ssd300_$backbone.textproto" trainer.steps=50 trainer.log_every=10 \
        trainer.evaluate_every=0 trainer.precision=$precision data.loader.batch_size=$batch > /dev/null &&
        echo "$name: $(values images_per_second "$output/$name/metrics.jsonl" | tail -n 1) images/s," \
          "waiting for data $(values data_wait_share "$output/$name/metrics.jsonl" | tail -n 1)"
    done
  done
done

echo "== $failures failed; runs are in $output"
exit $((failures > 0))
