#!/usr/bin/env python3
"""How many times as long Python's readers of annotations take as this program, on the same files and on one core.

usage: tests/benchmarks/compare_parsers.py [--rounds=N] [--core=N]        from the repository's root; default: 3, 0

Both sides run in turn, each in a process of its own, and their medians are divided. The files are dataset_benchmark's: a COCO
file as large as instances_train2017.json, 10,000 VOC files. Ours also joins, sorts and checks what it reads.

  json.load    the COCO file, parsed and no more
  pycocotools  COCO(): parsed and indexed; left out where it is not installed
  xml.etree    each VOC file parsed, and the names and corners of its objects taken
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

_BENCHMARK = "bazel-bin/tests/benchmarks/dataset_benchmark"
# As it calls its files.
_COCO = "instances_1.json"
_VOC = "voc_1"


def _load_json(folder):
  with open(folder / _COCO, encoding="utf-8") as file:
    json.load(file)


def _load_coco(folder):
  with contextlib.redirect_stdout(io.StringIO()):
    importlib.import_module("pycocotools.coco").COCO(str(folder / _COCO))


def _load_voc(folder):
  for path in sorted((folder / _VOC / "Annotations").iterdir()):
    for entry in ElementTree.parse(path).iterfind("object"):
      box = entry.find("bndbox")
      (entry.findtext("name"), *(float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")))


# Name: what it does, our benchmark of the same file, the module it needs.
_PEERS = {
    "json.load": (_load_json, "BM_ReadCoco", "json"),
    "pycocotools": (_load_coco, "BM_ReadCoco", "pycocotools.coco"),
    "xml.etree": (_load_voc, "BM_ReadVoc", "xml.etree"),
}


def _run_peer(name, folder):
  load, _, module = _PEERS[name]
  importlib.import_module(module)  # before the clock starts
  start = time.perf_counter()
  load(pathlib.Path(folder))
  print(time.perf_counter() - start)


def _seconds_of_ours(folder):
  run = subprocess.run([_BENCHMARK, f"--files={folder}", "--benchmark_format=json"], check=True, stdout=subprocess.PIPE)
  # "BM_ReadCoco/real_time"
  return {entry["name"].split("/")[0]: entry["real_time"] for entry in json.loads(run.stdout)["benchmarks"]}


def _seconds_of_peer(name, folder):
  run = subprocess.run([sys.executable, __file__, "--peer", name, folder], check=True, stdout=subprocess.PIPE)
  return float(run.stdout)


def _is_installed(module):
  return importlib.util.find_spec(module.split(".")[0]) is not None


def main():
  parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("   ")[0])
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--core", type=int, default=0)
  arguments = parser.parse_args()
  subprocess.run(["bazel", "build", "//tests/benchmarks:dataset_benchmark"], check=True)

  peers = [name for name, (_, _, module) in _PEERS.items() if _is_installed(module)]
  for name in _PEERS.keys() - set(peers):
    print(f"{name} is not installed and left out", file=sys.stderr)
  os.sched_setaffinity(0, {arguments.core})
  ours, theirs = {}, {}
  with tempfile.TemporaryDirectory() as folder:
    for current in range(arguments.rounds):
      print(f"round {current + 1} of {arguments.rounds}", file=sys.stderr)
      for benchmark, seconds in _seconds_of_ours(folder).items():
        ours.setdefault(benchmark, []).append(seconds)
      for name in peers:
        theirs.setdefault(name, []).append(_seconds_of_peer(name, folder))

  print(f"{'':12} {'seconds':>9} {'ours':>9} {'times ours':>11}")
  for name in peers:
    seconds, own = statistics.median(theirs[name]), statistics.median(ours[_PEERS[name][1]])
    print(f"{name:12} {seconds:9.2f} {own:9.2f} {seconds / own:11.1f}")


if __name__ == "__main__":
  if len(sys.argv) == 4 and sys.argv[1] == "--peer":
    _run_peer(sys.argv[2], sys.argv[3])
  else:
    main()
