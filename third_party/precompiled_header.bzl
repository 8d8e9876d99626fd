"""precompiled_header: headers that g++ parses once for all the files that include them first.

`#include <ATen/ATen.h>` costs 6 s in every file, `<torch/nn/module.h>` 9 s; precompiled, 1 s and 2 s. A target that depends on
@libtorch or @opencv//:core, itself or through others, profits by `copts = ATEN_FIRST`, and compiles just as well without.
A precompiled header costs what it holds: take TORCH_FIRST for files that declare modules, ATEN_FIRST for those that only
compute with tensors, OPENCV_FIRST for those that know images alone.
Tests take ATEN_TEST_FIRST and its like, which have GoogleTest's headers, too, and are compiled at -O1, for what a test itself does
is little; they come through @com_google_googletest, so that what is no test does not wait for them.
g++ itself checks that the options agree and, where they do not, reads the headers. Not so the optimisation level, on whose
difference g++ 12 may crash: not for targets with another -O of their own.
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

_ACTION = "c++-compile"

ATEN_FIRST = ["-include", "third_party/aten_first.h"]

OPENCV_FIRST = ["-include", "third_party/opencv_first.h"]

TORCH_FIRST = ["-include", "third_party/torch_first.h"]

TEST_COPTS = select({
    str(Label("//third_party:unoptimised")): [],
    "//conditions:default": ["-O1"],
})

ATEN_TEST_FIRST = TEST_COPTS + ["-include", "third_party/aten_test_first.h"]

OPENCV_TEST_FIRST = TEST_COPTS + ["-include", "third_party/opencv_test_first.h"]

TORCH_TEST_FIRST = TEST_COPTS + ["-include", "third_party/torch_test_first.h"]

def _precompiled_header_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )

    header = ctx.actions.declare_file(ctx.label.name + ".h")
    ctx.actions.write(header, "".join(["#include <%s>\n" % include for include in ctx.attr.includes]))

    # Beside it: g++ takes X.gch where it finds X.
    compiled = ctx.actions.declare_file(ctx.label.name + ".h.gch")
    deps = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps])
    context = deps.compilation_context
    variables = cc_common.create_compile_variables(
        cc_toolchain = toolchain,
        feature_configuration = features,
        source_file = header.path,
        output_file = compiled.path,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts + ["-x", "c++-header", "-w"],
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = context.defines,
    )
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(feature_configuration = features, action_name = _ACTION),
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = _ACTION,
            variables = variables,
        ),
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = _ACTION,
            variables = variables,
        ),
        inputs = depset([header], transitive = [context.headers, toolchain.all_files]),
        outputs = [compiled],
        mnemonic = "PrecompileHeader",
        progress_message = "Precompiling " + header.short_path,
    )
    own = cc_common.create_compilation_context(headers = depset([header, compiled]))
    return [
        DefaultInfo(files = depset([header, compiled])),
        CcInfo(compilation_context = cc_common.merge_cc_infos(
            cc_infos = [deps, CcInfo(compilation_context = own)],
        ).compilation_context, linking_context = deps.linking_context),
    ]

precompiled_header = rule(
    implementation = _precompiled_header_impl,
    attrs = {
        "copts": attr.string_list(),
        "includes": attr.string_list(mandatory = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
    fragments = ["cpp"],
)
