#!/usr/bin/env python3
"""Writes compile_commands.json, which clangd, clang-tidy and most editors read.

usage: tools/compile_commands.py [TARGET...]        default: //...

Bazel's own list of actions is asked (aquery): nothing is compiled, and the answer is what Bazel would run. Headers
that Bazel generates (*.pb.h) exist once the targets have been built.
"""

import json
import pathlib
import re
import subprocess
import sys

# Options of g++ that clang does not know, or (-fopenmp) whose header it does not have in Debian.
_FOR_GCC_ONLY = ("-fno-canonical-system-headers", "-Wno-free-nonheap-object", "-fopenmp")
_PRECOMPILED = re.compile(r"third_party/\w+_first\.h")  # g++'s format; the files include what they need anyway


def _bazel(*arguments):
  return subprocess.run(["bazel", *arguments], check=True, stdout=subprocess.PIPE).stdout


def main(targets):
  workspace = pathlib.Path(__file__).resolve().parent.parent
  output_base = _bazel("info", "output_base").decode().strip()
  # The folder that bazel-out in the workspace points to, whatever the links are called.
  execution_root = _bazel("info", "execution_root").decode().strip()
  query = 'mnemonic("CppCompile", deps({}))'.format(" + ".join(targets))
  actions = json.loads(_bazel("aquery", "--output=jsonproto", "--include_artifacts=false", query))

  def absolute(argument):
    for option in ("", "-I", "-isystem", "-iquote"):
      for folder, root in (("external/", output_base), ("bazel-out/", execution_root)):
        if argument.startswith(option + folder):
          return option + root + "/" + argument[len(option):]
    return argument

  entries = {}
  for action in actions.get("actions", []):
    arguments = action["arguments"]
    source = arguments[arguments.index("-c") + 1]
    if source.startswith(("external/", "bazel-out/")):
      continue
    for at in range(len(arguments) - 1, 0, -1):
      if arguments[at - 1] == "-include" and _PRECOMPILED.fullmatch(arguments[at]):
        del arguments[at - 1:at + 1]
    entries[source] = {
        "directory": str(workspace),
        "file": source,
        "arguments": [absolute(a) for a in arguments if a not in _FOR_GCC_ONLY],
    }
  if not entries:
    sys.exit("compile_commands.py: nothing is compiled for " + " ".join(targets))
  path = workspace / "compile_commands.json"
  path.write_text(json.dumps([entries[source] for source in sorted(entries)], indent=1) + "\n")
  print(f"{path}: {len(entries)} files")


if __name__ == "__main__":
  if any(argument.startswith("-") for argument in sys.argv[1:]):
    sys.exit(__doc__)
  try:
    main(sys.argv[1:] or ["//..."])
  except subprocess.CalledProcessError as error:
    sys.exit(error.returncode)
