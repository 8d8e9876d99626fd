"""@opencv: Debian's shared OpenCV, or the static one in OPENCV_ROOT for programs that travel."""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "headers",
    hdrs = ["include"],
    includes = ["include"],
)
"""

_MODULE = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
    deps = {deps},
)
"""

# Module -> the modules it needs.
_MODULES = {
    "core": [],
    "imgproc": ["core"],
    "imgcodecs": ["imgproc"],
}

def _opencv_repository_impl(ctx):
    root = ctx.os.environ.get("OPENCV_ROOT")
    include = ctx.path((root or "/usr") + "/include/opencv4")
    if not include.exists:
        fail("no OpenCV headers in {}: run tools/setup.sh, or correct OPENCV_ROOT".format(include))
    ctx.symlink(include, "include")
    content = _BUILD
    for name, deps in _MODULES.items():
        if root:
            linkopts = ["{}/lib/libopencv_{}.a".format(root, name)]
            if name == "imgcodecs":
                linkopts += ["-l:libjpeg.a", "-l:libpng16.a"]
            if name == "core":
                linkopts += ["-l:libz.a", "-ldl", "-lpthread"]
        else:
            linkopts = ["-lopencv_" + name]
        content += _MODULE.format(
            name = name,
            linkopts = linkopts,
            deps = [":" + dep for dep in deps + ["headers"]] +
                   (["@ssd//third_party:opencv_first"] if name == "core" else []),
        )
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", content)

opencv_repository = repository_rule(
    implementation = _opencv_repository_impl,
    environ = ["OPENCV_ROOT"],
    local = True,
)
