"""Repositories for libraries whose headers lie in /usr/include.

/usr/include is one of the compiler's own folders, so headers need no declaration: a target is its link options.
"""

def _library(name, linkopts, deps = []):
    return """cc_library(
    name = "{}",
    linkopts = {},
    deps = {},
)
""".format(name, linkopts, deps)

_PUBLIC = 'package(default_visibility = ["//visibility:public"])\n\n'

def _system_library_impl(ctx):
    ctx.file("WORKSPACE", "")
    content = _PUBLIC + _library(ctx.name, ctx.attr.linkopts, ctx.attr.deps)
    for name, linkopts in ctx.attr.more_targets.items():
        content += "\n" + _library(name, linkopts)
    ctx.file("BUILD", content)

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "deps": attr.string_list(doc = "Of the target named like the repository; whole labels."),
        "linkopts": attr.string_list(doc = "Of the target named like the repository, used as @name."),
        "more_targets": attr.string_list_dict(doc = "Further targets, used as @name//:target, and their link options."),
    },
    local = True,
)

def _pkg_config(ctx, module):
    result = ctx.execute(["pkg-config", "--static", "--libs", module])
    if result.return_code != 0:
        fail("pkg-config knows no {}: run tools/setup.sh\n{}".format(module, result.stderr))

    # Debian has every Abseil library twice. Take the archives: Abseil's state (flags, above all) then exists once.
    return ["-l:lib{}.a".format(o[2:]) if o.startswith("-labsl_") else o for o in result.stdout.strip().split(" ")]

def _absl_repository_impl(ctx):
    ctx.file("WORKSPACE", "")
    for package, targets in ctx.attr.targets.items():
        content = _PUBLIC
        for target in targets:
            name, _, module = target.partition("=")
            content += "\n" + _library(name, _pkg_config(ctx, "absl_" + (module or name)))
        ctx.file("absl/" + package + "/BUILD", content)

absl_repository = repository_rule(
    implementation = _absl_repository_impl,
    attrs = {"targets": attr.string_list_dict(
        doc = "Package below absl/ -> targets, each `name` or `name=module` where pkg-config says absl_module.",
    )},
    local = True,
)

# Protobuf's own messages -> what each imports.
_WELL_KNOWN = {
    "any": [],
    "descriptor": [],
    "duration": [],
    "empty": [],
    "field_mask": [],
    "struct": [],
    "timestamp": [],
    "wrappers": [],
}

def _protobuf_repository_impl(ctx):
    protoc = ctx.which("protoc")
    if not protoc:
        fail("protoc is missing: run tools/setup.sh")
    ctx.file("WORKSPACE", "")
    ctx.symlink("/usr/include/google/protobuf", "include/google/protobuf")
    ctx.symlink(protoc, "bin/protoc")
    content = _PUBLIC + """genrule(
    name = "protoc",
    srcs = ["bin/protoc"],
    outs = ["protoc_copy"],
    cmd = "cp -L $< $@ && chmod +x $@",
    executable = True,
)

# The archive, not the shared library: exactly one protobuf in the program, whatever it is run beside.
cc_library(
    name = "protobuf",
    linkopts = ["-l:libprotobuf.a", "-lz", "-lpthread"],
)

proto_lang_toolchain(
    name = "cc_toolchain",
    # These are in the runtime: generated once more, they would register twice.
    blacklisted_protos = {well_known},
    command_line = "--cpp_out=$(OUT)",
    runtime = ":protobuf",
)
""".format(well_known = [":{}_proto".format(name) for name in _WELL_KNOWN])
    for name, deps in _WELL_KNOWN.items():
        content += """
proto_library(
    name = "{name}_proto",
    srcs = ["include/google/protobuf/{name}.proto"],
    strip_import_prefix = "include",
    deps = {deps},
)
""".format(name = name, deps = [":{}_proto".format(dep) for dep in deps])
    ctx.file("BUILD", content)

protobuf_repository = repository_rule(implementation = _protobuf_repository_impl, local = True)
