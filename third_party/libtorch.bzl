"""@libtorch: the one LibTorch of this project, from an unpacked Python wheel or an installed torch package."""

_BUILD = """
package(default_visibility = ["//visibility:public"])

config_setting(
    name = "cuda",
    define_values = {{"cuda": "1"}},
)

# `hdrs` is one folder, so a sandboxed compilation links one entry instead of 9,400 files. Bazel accepts the headers
# below it because system include folders (`includes`) are not checked against the declared files.
cc_library(
    name = "headers",
    hdrs = ["include"],
    includes = ["include", "include/torch/csrc/api/include"],
)

cc_library(
    name = "libtorch",
    linkopts = {common} + select({{
        ":cuda": {cuda},
        "//conditions:default": {cpu},
    }}),
    deps = [
        ":headers",
        "@ssd//third_party:aten_first",
        "@ssd//third_party:torch_first",
    ] + select({{
        ":cuda": ["@cuda//:headers"],
        "//conditions:default": [],
    }}),
)
"""

# The environment variables that libtorch_root() reads.
LIBTORCH_ENVIRON = [
    "HOME",
    "LIBTORCH_ROOT",
    "XDG_CACHE_HOME",
]

def libtorch_root(ctx):
    """The torch folder of this build, whether it is there or not; tools/setup.sh has the same rule."""
    env = ctx.os.environ
    cache = env.get("XDG_CACHE_HOME") or env.get("HOME", "") + "/.cache"
    return ctx.path(env.get("LIBTORCH_ROOT") or cache + "/ssd/libtorch-2.11.0/torch")

def _libtorch_repository_impl(ctx):
    root = libtorch_root(ctx)
    if not root.get_child("lib").get_child("libtorch_cpu.so").exists:
        fail("no LibTorch in {}: run tools/setup.sh or set LIBTORCH_ROOT".format(root))

    # The wheel's include/google is protobuf 3.13, which must not hide the system's.
    for entry in root.get_child("include").readdir():
        if entry.basename != "google":
            ctx.symlink(entry, "include/" + entry.basename)

    # Linked by path and not through cc_import: half a gigabyte is then neither hashed nor copied, and the
    # libraries find their neighbours (../../nvidia/*/lib) by their own $ORIGIN.
    lib = str(root.get_child("lib"))
    common = [
        "-L" + lib,
        "-Wl,-rpath," + lib,
        # What the libraries themselves need (CUDA) is found when they are loaded, or is not needed at all.
        "-Wl,--allow-shlib-undefined",
    ]
    # An rpath of the old kind also serves the libraries' own dependencies. It helps where CUDA's libraries lie
    # beside torch in a folder that torch does not know.
    common += ["-Wl,-rpath," + str(path) for path in _cuda_folders(ctx, root)]
    cpu = ["-ltorch_cpu", "-lc10"]
    # Nothing refers to libtorch_cuda by name: it registers its kernels when it is loaded.
    cuda = ["-Wl,--no-as-needed", "-ltorch", "-ltorch_cuda", "-lc10_cuda"] + cpu
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", _BUILD.format(common = common, cpu = cpu, cuda = cuda))

def _cuda_folders(ctx, root):
    nvidia = root.dirname.get_child("nvidia")
    if not nvidia.exists:
        return []
    return [d.get_child("lib") for d in nvidia.readdir() if d.get_child("lib").exists]

libtorch_repository = repository_rule(
    implementation = _libtorch_repository_impl,
    environ = LIBTORCH_ENVIRON,
    local = True,
)
