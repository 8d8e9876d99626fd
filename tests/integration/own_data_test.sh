#!/usr/bin/env bash
# docs/own_data.md: its table, experiment and commands as they stand there, on painted photos and with fewer channels.
set -uo pipefail

readonly root=$PWD
cd "$TEST_TMPDIR" || exit 1

failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
# block N: the text between the page's Nth pair of ```.
block() { awk -v wanted="$1" '/^```/ { ++fences; next } fences == 2 * wanted - 1' "$root/docs/own_data.md"; }
# page_command N LINE [MORE...]: runs line LINE of block N, `bazel run //tools:NAME -- ARGUMENTS`.
page_command() {
  local line words got=0
  line=$(block "$1" | sed -n "$2s|^bazel run //tools:||p")
  [[ -n $line ]] || { fail "line $2 of block $1 runs no command"; return; }
  read -ra words <<< "${line#* -- }"
  shift 2
  "$root/tools/${line%% *}" "${words[@]}" "$@" > out.txt 2> err.txt || got=$?
  [[ $got == 0 ]] || fail "exit status $got: $line: $(tail -n 5 out.txt err.txt)"
}

cp -rL "$root/experiments" experiments
mkdir -p my_data/photos
block 1 > my_data/boxes.csv
"$root/tests/integration/paint_photos" my_data/photos >> my_data/boxes.csv || fail "no photos"
block 2 > my_data/ssd.textproto

small=(--threads=2 model.backbone.vgg16.width=8 data.loader.batch_size=2 schedule.warmup.steps=1 trainer.steps=2)
# In place of the published weights, those of a run of the small network.
"$root/tools/train" --config=my_data/ssd.textproto --output=start "${small[@]}" > out.txt 2> err.txt ||
  fail "no weights: $(tail -n 5 err.txt)"
cp start/checkpoints/best.pt ssd300_vgg16_coco-b556d3b4.pth

page_command 3 1 "${small[@]}"
grep -q '</html>' check.html || fail "no check.html"
page_command 4 1 "${small[@]}"
for file in report.html weights.txt; do [[ -s runs/my_data/$file ]] || fail "runs/my_data/$file is missing"; done
grep -q 'label: "dog"' runs/my_data/config.textproto || fail "the classes are not the table's"
page_command 4 2 --threads=2
[[ $(grep -c '"image"' out.txt) == 12 && -s found/0012.jpg ]] || fail "detect says $(head -c 300 out.txt)"

((failures == 0)) || exit 1
echo "all as expected"
