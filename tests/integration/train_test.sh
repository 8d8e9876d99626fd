#!/usr/bin/env bash
# Whole runs of the commands: train, be killed, resume, evaluate, detect, sweep; and what wrong input gives.
set -uo pipefail

readonly tools=$PWD/tools configs=$PWD/experiments
readonly work=$TEST_TMPDIR
cd "$work" || exit 1

failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
# expect STATUS TEXT COMMAND...: the command ends so, and says TEXT on stderr.
expect() {
  local status=$1 text=$2 got=0
  shift 2
  "$@" > out.txt 2> err.txt || got=$?
  [[ $got == "$status" ]] || fail "exit status $got, not $status: $*: $(tail -n 3 err.txt)"
  [[ -z $text ]] || grep -qF -- "$text" err.txt || fail "'$text' is not what it says: $*: $(tail -n 3 err.txt)"
}

cat > tiny.textproto << END
# proto-file: experiments/experiment.proto
# proto-message: ssd.Experiment
base: "$configs/quickstart/digits.textproto"
model { num_levels: 2 input { height: 64 width: 64 } backbone { resnet { width: 8 } } }
data {
  train { digits { scenes: 64 } }
  validation { digits { scenes: 16 } }
  loader { batch_size: 8 workers: 2 cache { max_megabytes: 50 } }
}
trainer { epochs: 3 log_every: 2 evaluate_every: 6 checkpoint_every: 2 ema {} }
END
# What a process has left is looked for again and again; in between the core is its own.
look_again() { sleep 0.01; }
# Arrays, not functions: the process in the background is then the program, which signals are for.
train=("$tools/train" --config=tiny.textproto --threads=1)
without_clock() { sed 's/,"timing":{[^}]*}//' "$1"; }
# The names and bytes of all files in a folder.
contents() { (cd "$1" && find . -type f -exec md5sum {} + | sort); }

# A run leaves everything it promises.
expect 0 "run folder: $work/whole (done)" "${train[@]}" --output="$work/whole"
for file in config.textproto run.json metrics.jsonl metrics.json detections.json report.html checkpoints/last.pt checkpoints/best.pt; do
  [[ -s whole/$file ]] || fail "whole/$file is missing"
done
compgen -G 'whole/events.out.tfevents.*' > /dev/null || fail "no TensorBoard events"
grep -q '"status": "done"' whole/run.json || fail "run.json is not done"
# All images are in memory by the last epoch.
grep -q '"timing":{.*"data_wait_share":.*"decode_seconds":.*"transform_seconds":.*"queue_depth":.*"cache_hit_rate":1' \
  whole/metrics.jsonl || fail "the loader's times are not logged"
for fact in "spent waiting for data" "reading and decoding an image" "batches ready when one" "images found in memory"; do
  grep -q "$fact" whole/report.html || fail "the report does not tell of '$fact'"
done

# The saved config reproduces it, bit for bit.
expect 0 done "$tools/train" --config=whole/config.textproto --threads=1 --output="$work/again"
# Killed and resumed again and again, it goes through the same bits: as soon as it has a folder, in its first epoch and its
# second, and among its last files. It is not done before all is there.
reached() {
  case $1 in
    step*) grep -q "\"step\":${1#step}," killed/metrics.jsonl 2> /dev/null ;;
    *) [[ -e killed/$1 ]] ;;
  esac
}
killed=("${train[@]}" --output="$work/killed")
for moment in config.textproto step2 step10 metrics.json; do
  "${killed[@]}" > /dev/null 2>&1 &
  child=$!
  # The process is still at work when the moment is there, but for the last one.
  until reached $moment || ! kill -0 $child 2> /dev/null; do look_again; done
  kill -KILL $child 2> /dev/null || [[ $moment == metrics.json ]] || fail "it ended before $moment"
  wait $child 2> /dev/null
  killed=("${train[@]}" --output="$work/killed" --resume)
  grep -q '"status": "done"' killed/run.json && break
  touch killed/report.html.1.tmp killed/checkpoints/last.pt.22.tmp
done
grep -q '"status": "done"' killed/run.json || expect 0 done "${killed[@]}"
[[ -s killed/report.html ]] || fail "done without a report"
if compgen -G 'killed/*.tmp' || compgen -G 'killed/checkpoints/*.tmp'; then fail "leftovers of a killed process"; fi
for run in again killed; do
  for file in checkpoints/last.pt checkpoints/best.pt detections.json metrics.json; do
    cmp -s whole/$file $run/$file || fail "$run/$file differs from whole/$file"
  done
  cmp -s <(without_clock whole/metrics.jsonl) <(without_clock $run/metrics.jsonl) || fail "$run/metrics.jsonl differs"
done

# Ctrl-C ends it with a checkpoint and the shell's exit status.
"${train[@]}" --output="$work/stopped" 2> /dev/null > /dev/null &
child=$!
until [[ -e stopped/metrics.jsonl ]] || ! kill -0 $child 2> /dev/null; do look_again; done
kill -TERM $child
status=0
wait $child || status=$?
[[ $status == 143 ]] || fail "SIGTERM gave exit status $status"
grep -q '"status": "interrupted"' stopped/run.json || fail "stopped/run.json is not interrupted"
# Only what it was started with goes on, which its folder has.
expect 2 "data.loader.batch_size was 8 and is 4; undo the change ($work/stopped/config.textproto" \
  "${train[@]}" --output="$work/stopped" --resume data.loader.batch_size=4
resume=("$tools/train" --config=stopped/config.textproto --threads=1 --output="$work/stopped" --resume)
# What is refused leaves the folder as it was.
cp stopped/checkpoints/last.pt stopped.pt
truncate -s -1000 stopped/checkpoints/last.pt
contents stopped > before.txt
expect 2 "stopped/checkpoints/last.pt" "${resume[@]}"
expect 2 "--device='tpu'" "${resume[@]}" --device=tpu
cmp -s before.txt <(contents stopped) || fail "a refused resume changes $(contents stopped | diff before.txt -)"
mv stopped.pt stopped/checkpoints/last.pt
# A run that goes on has not ended.
"${resume[@]}" > /dev/null 2>&1 &
child=$!
until grep -q '"status": "running"' stopped/run.json || ! kill -0 $child 2> /dev/null; do look_again; done
kill -KILL $child 2> /dev/null || fail "the resumed run ended before it could be killed"
wait $child 2> /dev/null
grep -q '"ended": "",' stopped/run.json || fail "a run that was killed says $(grep '"ended"' stopped/run.json)"
mkdir stopped/report.html  # in the report's way
expect 2 "stopped/report.html: cannot write" "${resume[@]}"
grep -q '"status": "failed"' stopped/run.json || fail "a run without a report has not failed"
rmdir stopped/report.html
expect 0 done "${resume[@]}"
[[ -s stopped/report.html ]] || fail "no report after the last resume"
cmp -s whole/checkpoints/last.pt stopped/checkpoints/last.pt || fail "the resumed run differs after SIGTERM"

# A step that is not finite can be taken once more from the file it leaves.
diverging=("${train[@]}" --output="$work/diverged" optimizer.sgd.learning_rate=1e38 'schedule={ constant {} }')
expect 1 "the weights and the batch are in $work/diverged/nonfinite_step_" "${diverging[@]}"
grep '^error: ' err.txt > diverged.txt
cp whole/checkpoints/last.pt diverged/checkpoints/last.pt
contents diverged > before.txt
expect 2 "belongs to a run with another config" "${diverging[@]}" --resume
cmp -s before.txt <(contents diverged) || fail "a refused resume changes $(contents diverged | diff before.txt -)"
cp diverged/nonfinite_step_*.pt diverged/checkpoints/last.pt
expect 1 "$(cat diverged.txt)" "${diverging[@]}" --resume

# Wrong input: one line and status 2.
expect 2 "--resume" "${train[@]}" --output="$work/whole"
expect 2 "nothing to resume" "${train[@]}" --output="$work/whole" --resume
expect 2 "did you mean" "${train[@]}" model.num_levls=3
expect 2 "did you mean --config?" "$tools/train" --confg=tiny.textproto
expect 2 "none.textproto" "$tools/train" --config=none.textproto
expect 2 "--device" "${train[@]}" --device=tpu --output="$work/refused"
expect 2 "--threads=200000: must be 1 to" "${train[@]}" --threads=200000 --output="$work/refused"
expect 2 "nowhere" "${train[@]}" --output="$work/refused" 'data.train={ voc { root: "nowhere" image_set: "train" } }'
expect 2 "name: '' must be the name of one folder" "${train[@]}" name=
expect 2 "name: 'a/' must be the name of one folder" "${train[@]}" name=a/
expect 2 "name: '../../../escaped' must be the name of one folder" "${train[@]}" name=../../../escaped
[[ ! -e refused && ! -e runs && ! -e ../../../escaped ]] || fail "a refused run leaves a folder"
compgen -G '*.tmp' > /dev/null && fail "a refused run leaves an unfinished folder"
expect 2 "--bootstrap=-1" "$tools/evaluate" --run=whole --bootstrap=-1

# The other commands on its result.
expect 0 "" "$tools/evaluate" --run=whole --threads=1 --json --output=judged
cmp -s whole/detections.json judged/detections.json || fail "evaluate finds other boxes than train"
expect 0 "in $work/whole/evaluation" "$tools/evaluate" --run=whole --threads=1 --data='digits { scenes: 4 }'
[[ -s whole/evaluation/metrics.json && -s whole/evaluation/detections.json ]] || fail "evaluate leaves nothing"
cmp -s whole/metrics.json again/metrics.json && cmp -s whole/detections.json again/detections.json ||
  fail "evaluate changes the run's own results"
expect 1 "cannot write to stdout" bash -c '"$0" --config=tiny.textproto > /dev/full' "$tools/describe"
expect 2 "--data: " "$tools/evaluate" --run=whole --threads=1 --data='voc { root: "nowhere" }'
expect 2 "--data: " "$tools/evaluate" --run=whole --threads=1 --data='subset { to: 2 }'
# The same numbers and facts; only a clock differs.
facts() { grep -v '"seconds"' "$1" | sed 's/,$//'; }
cmp -s <(facts whole/metrics.json) <(facts judged/metrics.json) || fail "metrics.json: $(diff whole/metrics.json judged/metrics.json)"
grep -q '"detections": ' whole/metrics.json || fail "metrics.json does not count detections"
# What a config leaves to be measured is as the run had it.
expect 0 "best.pt: detects in FP32, CHANNELS_LAST" "$tools/evaluate" --config=tiny.textproto --threads=1 \
  --weights=whole/checkpoints/best.pt --output=measured trainer.precision=AUTO trainer.memory_format=AUTO_FORMAT
cmp -s whole/detections.json measured/detections.json || fail "evaluate finds other boxes where the config says AUTO"
expect 0 "" "$tools/evaluate" --run=whole --threads=1 --output=views 'evaluator.views={ horizontal_flip: true scale: 1.5 }'
cmp -s whole/detections.json views/detections.json && fail "more views find the same boxes"
expect 0 "" "$tools/describe" --config=tiny.textproto --json --anchors=anchors.npy
grep -q '"num_anchors": 320' out.txt || fail "describe: $(grep num_anchors out.txt)"
expect 0 "" "$tools/describe" --config=tiny.textproto --anchors=again.npy \
  'model.anchor_generator={ from_file { path: "anchors.npy" per_cell: [4, 4] } }'
cmp -s anchors.npy again.npy || fail "anchors read from a file are others"
# The model file has the boxes, wherever their file went.
expect 0 "(done)" "${train[@]}" --output="$work/from_file" trainer.epochs=1 \
  'model.anchor_generator={ from_file { path: "anchors.npy" per_cell: [4, 4] } }'
mv anchors.npy moved.npy
expect 0 "" "$tools/evaluate" --run=from_file --threads=1 --output=from_file_judged
cmp -s from_file/detections.json from_file_judged/detections.json || fail "other boxes without the file"
mv moved.npy anchors.npy
expect 2 "has 320 boxes" "$tools/describe" --config=tiny.textproto \
  'model.anchor_generator={ from_file { path: "anchors.npy" per_cell: [4, 6] } }'
expect 2 "must end in .npy or .safetensors" "$tools/describe" --config=tiny.textproto --anchors=anchors.txt
expect 2 "no image there" "$tools/detect" --run=whole nothing-here.jpg
mkdir pictures
for name in a b; do { printf 'P6\n80 60\n255\n' && head -c $((80 * 60 * 3)) "$tools/train"; } > pictures/$name.ppm; done
expect 0 "2 images" "$tools/detect" --run=whole --threads=1 --min_score=0 --output=drawn pictures
[[ $(grep -c '"width":80,"height":60,"detections":\[{"class":' out.txt) == 2 ]] || fail "detect says $(head -c 300 out.txt)"
[[ $(head -c 3 drawn/a.jpg | od -An -tx1) == " ff d8 ff" && -s drawn/b.jpg ]] || fail "detect draws no JPEG"
# A picture that cannot be read is told and passed over, unless it is the only one.
cp drawn/a.jpg pictures/aa.jpg && truncate -s -200 pictures/aa.jpg
expect 1 "error: 1 of 3 images cannot be read" "$tools/detect" --run=whole --threads=1 pictures
grep -q 'pictures/aa.jpg: ' err.txt || fail "detect does not name the broken image: $(cat err.txt)"
[[ $(grep -c '"image"' out.txt) == 2 ]] || fail "detect lost the images beside the broken one"
expect 2 "pictures/aa.jpg" "$tools/detect" --run=whole --threads=1 --output=undrawn pictures/aa.jpg
[[ ! -e undrawn ]] || fail "detect without a picture leaves a folder"
# Training passes over it where it may.
printf '%s\n' image,x0,y0,x1,y1,label a.ppm,10,10,40,40,cat aa.jpg,5,5,30,30,cat b.ppm,20,20,60,50,cat > boxes.csv
table='{ table { file: "boxes.csv" images: "pictures" } transform { resize {} } }'
expect 0 "pictures/aa.jpg: " "${train[@]}" --output="$work/skipping" trainer.epochs=1 "data.train=$table" \
  "data.validation=$table" data.loader.batch_size=3 data.loader.on_bad_image=SKIP
for split in train validation; do
  grep -q "\"${split}_skipped_images\": 1," skipping/run.json || fail "run.json does not count the image: $split"
done
grep -q 'images that could not be read.*1 for training, 1 for validation' skipping/report.html ||
  fail "the report does not count the image"
# A dataset's results file, without its truths.
expect 0 "16 images" "$tools/detect" --run=whole --threads=1 --data='digits { scenes: 16 scene_seed: 2 }' --output=results
cmp -s whole/detections.json results/detections.json || fail "detect --data finds other boxes than train"
# A config and weights in place of the run; images and classes have the ids of the dataset's own file.
{
  echo '{"images": [{"id": 70, "file_name": "a.ppm", "width": 80, "height": 60},'
  echo ' {"id": 7, "file_name": "b.ppm", "width": 80, "height": 60}], "categories": ['
  for digit in {0..8}; do echo " {\"id\": 1$digit, \"name\": \"$digit\"},"; done
  echo ' {"id": 19, "name": "9"}]}'
} > unjudged.json
expect 0 "2 images, " "$tools/detect" --config=tiny.textproto --weights=whole/checkpoints/best.pt --threads=1 \
  --data='coco { annotations: "unjudged.json" images: "pictures" }' --output=by_weights
result='^\{"image_id":(7|70),"category_id":1[0-9],"bbox":\[[0-9.-]+(,[0-9.-]+){3}\],"score":[0-9.e-]+\},?$'
[[ $(grep -vE "$result" by_weights/detections.json | tr -d '\n') == "[]" ]] ||
  fail "detect --config writes $(grep -vE "$result" by_weights/detections.json | head -n 3)"
for image in 7 70; do
  grep -q "^{\"image_id\":$image," by_weights/detections.json || fail "detect --config finds nothing in image $image"
done
expect 2 "--data needs --output=DIR" "$tools/detect" --run=whole --data='digits {}'
expect 2 "--min_score has no effect with --data" "$tools/detect" --run=whole --data='digits {}' --min_score=0.5 --output=unmade
[[ ! -e unmade ]] || fail "a refused detect leaves a folder"
"$tools/detect" --run=whole --threads=1 --data='digits { scenes: 10000 }' --output="$work/cut/short" > /dev/null 2>&1 &
child=$!
until [[ -e cut/short ]] || ! kill -0 $child 2> /dev/null; do look_again; done
kill -INT $child 2> /dev/null
status=0
wait $child || status=$?
[[ $status == 130 && ! -e cut ]] || fail "SIGINT gave detect exit status $status and leaves $(find cut 2> /dev/null)"
expect 2 "--config is for --data alone" "$tools/detect" --run=whole --config=tiny.textproto pictures
# Sheets, and the life of one truth.
expect 0 "" "$tools/visualize" --run=whole --threads=1 --count=2 --tile=64 --output=sheets
for sheet in truth anchors_level_1 anchors_level_2 positives augmented detections; do
  [[ $(head -c 4 sheets/$sheet.png | tail -c 3) == PNG ]] || fail "sheets/$sheet.png is no PNG"
done
expect 0 "sheets/trace.png" "$tools/visualize" --run=whole --threads=1 --trace=1:0 --output=sheets
grep -q '^Truth 0 of scene 0 ' out.txt && grep -q 'loc. loss' out.txt || fail "the trace says $(head out.txt)"
for flag in count=2 index=1 columns=2 min_score=0.5; do
  expect 2 "--${flag%=*} has no effect with --trace" "$tools/visualize" --run=whole --trace=1:0 --$flag
done
expect 2 "--count has no effect with --index" "$tools/visualize" --run=whole --count=2 --index=0,1 --output=sheets
expect 2 "give --config=F or --run=DIR" "$tools/visualize" --show=truth
expect 2 "did you mean 'truth'?" "$tools/visualize" --config=tiny.textproto --show=truths --output=sheets

# The data doctor.
expect 0 "report: $work/check.html" "$tools/check" --config=tiny.textproto --threads=1 --json
grep -q '"anchor_recall"' out.txt && [[ -s check.html ]] || fail "check tells nothing of the anchors"
expect 1 "" "$tools/check" --config=tiny.textproto --threads=1 --overfit=2 --device=cpu optimizer.sgd.learning_rate=1e38
grep -q '^Overfit probe: FAILED' out.txt || fail "check says $(tail -n 5 out.txt)"
expect 2 "nowhere" "$tools/check" --config=tiny.textproto --threads=1 'data.train={ voc { root: "nowhere" } }'

# Its weights under another format start another run.
expect 0 "named as this program's detectors" "$tools/convert_weights" whole/checkpoints/best.pt \
  own.safetensors --names=own
expect 0 "weights of this program's detectors loaded; unused: 0; missing: 0; mismatched: 0" "${train[@]}" \
  --output="$work/tuned" trainer.epochs=1 model.weights.path=own.safetensors
grep -q '^loaded: [1-9]' tuned/weights.txt && grep -q '^  backbone\.' tuned/weights.txt &&
  grep -q '^missing in the file: 0$' tuned/weights.txt || fail "weights.txt says $(head tuned/weights.txt)"
expect 2 "is no file of PyTorch's" "${train[@]}" --output="$work/untuned" model.weights.path=tiny.textproto
[[ ! -e untuned ]] || fail "weights that cannot be read leave a folder"
expect 2 "use --names=own" "$tools/convert_weights" whole/checkpoints/best.pt theirs.pt
expect 0 "" "$tools/convert_weights" --input=whole/checkpoints/best.pt --output=own_again.safetensors --names=own
cmp -s own.safetensors own_again.safetensors || fail "convert_weights writes other weights by --input and --output"
expect 2 "OUT, the file to write, is not set" "$tools/convert_weights" whole/checkpoints/best.pt
expect 2 "'c' is a file too many" "$tools/convert_weights" a b c

# A dataset in one file.
expect 0 "" "$tools/pack" --config=tiny.textproto --split=validation --output=digits.packed
grep -q '16 images' out.txt || fail "pack says $(cat out.txt)"
expect 0 "" "$tools/pack" --verify=digits.packed
expect 2 "digits.packed: exists" "$tools/pack" --config=tiny.textproto --output=digits.packed
for flag in config=tiny.textproto output=x.packed size=8x8 split=train longest_side=8 quality=90; do
  expect 2 "--${flag%=*} has no effect with --verify" "$tools/pack" --verify=digits.packed --$flag
done
expect 2 "--quality has no effect without --size or --longest_side" "$tools/pack" --config=tiny.textproto --quality=90 \
  --output=other.packed
expect 2 "no packed dataset" "$tools/pack" --verify=tiny.textproto
expect 2 "want WxH" "$tools/pack" --config=tiny.textproto --size=300 --output=other.packed
expect 2 "--split=test: must be train or validation" "$tools/pack" --config=tiny.textproto --split=test --output=other.packed

# A sweep, stopped and resumed, tabulates what an undisturbed one does.
cat > sweep.textproto << END
# proto-file: experiments/sweep.proto
# proto-message: ssd.Sweep
base: "tiny.textproto"
set: "trainer.epochs=1"
axis { name: "m" point { label: "1" set: "model.num_levels=1" } point { label: "2" } }
seed: [1, 2]
END
sweep=("$tools/sweep" --config=sweep.textproto --threads=1)
expect 0 "sweep folder" "${sweep[@]}" --output="$work/sweep"
# stop_sweep POINT SIGNAL STATUS [--resume]: while POINT trains, the signal ends it so.
stop_sweep() {
  local point=$1 signal=$2 wanted=$3 got=0
  "${sweep[@]}" --output="$work/sweep2" "${@:4}" > /dev/null 2>&1 &
  child=$!
  until [[ -e sweep2/$point/metrics.jsonl ]] || ! kill -0 $child 2> /dev/null; do look_again; done
  kill -"${signal#TWICE-}" $child 2> /dev/null
  if [[ $signal == TWICE-* ]]; then while kill -"${signal#TWICE-}" $child 2> /dev/null; do :; done; fi
  wait $child 2> /dev/null || got=$?
  [[ $got == "$wanted" ]] || fail "a sweep that got $signal at $point ended with $got, not $wanted"
}
# Each goes on at once where the one before was stopped.
stop_sweep m=1,seed=1 TERM 143
stop_sweep m=1,seed=2 INT 130 --resume
stop_sweep m=2,seed=1 TWICE-TERM 143 --resume
stop_sweep m=2,seed=2 KILL 137 --resume
expect 0 "sweep folder" "${sweep[@]}" --output="$work/sweep2" --resume
cmp -s sweep/table.txt sweep2/table.txt || fail "the resumed sweep's table differs: $(diff sweep/table.txt sweep2/table.txt)"

# A point that is done stays one of the sweep as it is now.
expect 2 "point m=1,seed=1: $work/sweep/m=1,seed=1: was started with another config: trainer.log_every was 2 and is 3;" \
  "${sweep[@]}" --output="$work/sweep" --resume trainer.log_every=3

# A point that its time limit stopped is not done.
cat > limited.textproto << END
# proto-file: experiments/sweep.proto
# proto-message: ssd.Sweep
base: "tiny.textproto"
set: "trainer.epochs=1"
set: "trainer.memory_format=AUTO_FORMAT"
seed: [1, 2]
END
limited=("$tools/sweep" --config=limited.textproto --threads=1 --output="$work/limited")
expect 1 "not done: seed=1: stopped at its time limit" "${limited[@]}" trainer.time_limit=1e-9
# All its points have the format that was measured when it was started.
grep -h ' memory_format: ' limited/points/*.textproto limited/*/config.textproto > formats.txt
[[ $(wc -l < formats.txt) == 4 && $(sort -u formats.txt | wc -l) == 1 ]] || fail "formats: $(cat formats.txt)"
grep -q AUTO formats.txt && fail "the sweep's format is left open: $(cat formats.txt)"
expect 0 "sweep folder" "${limited[@]}" --resume
grep -q 'every point trains in' err.txt && fail "the resumed sweep measures again"
grep -q '^base  *2 ' limited/table.txt || fail "limited: $(cat limited/table.txt)"

# Data and weights that are not there are missed before the first point trains.
{ cat sweep.textproto; echo "axis { name: \"data\" point { label: \"x\" set: 'data.train={ voc { root: \"nowhere\" image_set: \"train\" } }' } }"; } > nodata.textproto
expect 2 "nowhere" "$tools/sweep" --config=nodata.textproto --output="$work/nodata"
expect 2 "nowhere.pt" "${sweep[@]}" --output="$work/nodata" model.weights.path=nowhere.pt
expect 2 "--device='tpu'" "${sweep[@]}" --output="$work/nodata" --device=tpu
[[ ! -e nodata ]] || fail "a sweep without data or weights leaves a folder"

((failures == 0)) || exit 1
echo "all as expected"
