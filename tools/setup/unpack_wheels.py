"""Unpacks what a C++ program needs of Python wheels: libraries, headers, CUDA's compiler, licences.

usage: unpack_wheels.py DESTINATION WHEEL...

Wheels are laid side by side (DESTINATION/torch, DESTINATION/nvidia), because LibTorch finds CUDA's
libraries in ../../nvidia by its own RPATH. Python code is left out, and so is torch/include/google:
headers of an old Protobuf that would hide the installed one.
"""

import pathlib
import re
import shutil
import sys
import zipfile

_WANTED = re.compile(
    r"torch/lib/(?!libtorch_python|libshm|python).*\.so[.0-9]*$"
    r"|torch/include/(?!google/)"
    r"|torch/version\.py$"
    r"|nvidia/.*\.so[.0-9]*$"
    r"|nvidia/[^/]+/(include|bin|nvvm)/"
    r"|[^/]+\.dist-info/(METADATA$|LICEN[CS]E|NOTICE|licenses/(LICEN[CS]E|NOTICE))",
    re.IGNORECASE)


def main(destination, wheels):
  root = pathlib.Path(destination)
  for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
      for member in archive.infolist():
        if member.is_dir() or not _WANTED.match(member.filename):
          continue
        target = root / member.filename
        if root.resolve() not in target.resolve().parents:
          sys.exit(f"{wheel}: {member.filename} would leave {destination}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, open(target, "wb") as copy:
          shutil.copyfileobj(source, copy, 1 << 20)
        # A wheel made on Unix keeps each file's mode in the upper half; programs must stay executable.
        if member.external_attr >> 16 & 0o100:
          target.chmod(0o755)


if __name__ == "__main__":
  if len(sys.argv) < 3:
    sys.exit(__doc__)
  main(sys.argv[1], sys.argv[2:])
