"""Small stand-ins, kept in shims/, for repositories that Bazel would otherwise download."""

def _shim_repository_impl(ctx):
    # Found from this file, so that it works from another workspace too.
    folder = ctx.path(Label("//third_party:shim.bzl")).dirname.get_child("shims").get_child(ctx.name)
    for entry in folder.readdir():
        ctx.symlink(entry, entry.basename)

shim_repository = repository_rule(implementation = _shim_repository_impl, local = True)
