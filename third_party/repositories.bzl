"""Everything outside this repository that it builds with, for its own WORKSPACE and for those that depend on it.

Nothing is downloaded: every repository is a folder of this machine. Debian's packages supply the libraries;
LIBTORCH_ROOT, or the user's cache as tools/setup.sh fills it, LibTorch; CUDA_HOME, or the same cache, the CUDA toolkit;
OPENCV_ROOT an optional static OpenCV. README.md says what each is for, and why this one.
"""

load("//third_party:cuda_repository.bzl", "cuda_repository")
load("//third_party:libtorch.bzl", "libtorch_repository")
load("//third_party:opencv.bzl", "opencv_repository")
load("//third_party:shim.bzl", "shim_repository")
load("//third_party:system_libraries.bzl", "absl_repository", "protobuf_repository", "system_library")

def ssd_repositories():
    """Declares them all, under the names that are usual for them."""

    # Bazel 4.2.3 would fetch these six; Debian's rules_cc is too new for it, so a shim forwards to the native rules.
    shim_repository(name = "rules_cc")

    shim_repository(name = "remote_coverage_tools")

    native.local_repository(
        name = "rules_java",
        path = "/usr/share/bazel/rules/java",
    )

    native.local_repository(
        name = "rules_proto",
        path = "/usr/share/bazel/rules/proto",
    )

    native.local_repository(
        name = "bazel_skylib",
        path = "/usr/share/bazel/tools/skylib",
    )

    native.local_repository(
        name = "platforms",
        path = "/usr/share/bazel/platforms",
    )

    protobuf_repository(name = "com_google_protobuf")

    # Abseil's own labels: package below absl/ -> targets, each `name`, or `name=module` where pkg-config's module
    # absl_module has another name than the label.
    absl_repository(
        name = "com_google_absl",
        targets = {
            "algorithm": [
                "algorithm",
                "container=algorithm_container",
            ],
            "base": [
                "base",
                "config",
                "core_headers",
                "dynamic_annotations",
                "endian",
                "log_severity",
            ],
            "cleanup": ["cleanup"],
            "container": [
                "btree",
                "fixed_array",
                "flat_hash_map",
                "flat_hash_set",
                "inlined_vector",
                "node_hash_map",
                "node_hash_set",
            ],
            "debugging": [
                "failure_signal_handler",
                "leak_check",
                "stacktrace",
                "symbolize",
            ],
            "flags": [
                "commandlineflag=flags_commandlineflag",
                "config=flags_config",
                "flag=flags",
                "marshalling=flags_marshalling",
                "parse=flags_parse",
                "reflection=flags_reflection",
                "usage=flags_usage",
            ],
            "functional": [
                "any_invocable",
                "bind_front",
                "function_ref",
            ],
            "hash": ["hash"],
            "memory": ["memory"],
            "meta": ["type_traits=meta"],
            "numeric": [
                "bits",
                "int128",
            ],
            "random": [
                "bit_gen_ref=random_bit_gen_ref",
                "distributions=random_distributions",
                "random=random_random",
                "seed_sequences=random_seed_sequences",
            ],
            "status": [
                "status",
                "statusor",
            ],
            "strings": [
                "cord",
                "str_format",
                "strings",
            ],
            "synchronization": ["synchronization"],
            "time": ["time"],
            "types": [
                "any",
                "compare",
                "optional",
                "span",
                "variant",
            ],
            "utility": ["utility"],
        },
    )

    system_library(
        name = "glog",
        linkopts = ["-lglog"],
    )

    system_library(
        name = "com_google_googletest",
        deps = [
            "@ssd//third_party:aten_test_first",
            "@ssd//third_party:opencv_test_first",
            "@ssd//third_party:torch_test_first",
        ],
        # gtest_main is named first: an archive only supplies main() when it is still missing.
        linkopts = [
            "-lgmock_main",
            "-lgmock",
            "-lgtest",
            "-lpthread",
        ],
    )

    system_library(
        name = "com_google_benchmark",
        linkopts = [
            "-lbenchmark",
            "-lpthread",
        ],
    )

    # Headers only.
    system_library(name = "rapidjson")

    system_library(
        name = "pugixml",
        linkopts = ["-lpugixml"],
    )

    system_library(
        name = "zlib",
        linkopts = ["-lz"],
    )

    # libjpeg-turbo: @libjpeg is libjpeg's interface, @libjpeg//:turbojpeg the simpler one of its own.
    system_library(
        name = "libjpeg",
        linkopts = ["-ljpeg"],
        more_targets = {"turbojpeg": ["-lturbojpeg"]},
    )

    system_library(
        name = "lmdb",
        linkopts = ["-llmdb"],
    )

    opencv_repository(name = "opencv")

    libtorch_repository(name = "libtorch")

    cuda_repository(name = "cuda")
