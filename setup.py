"""Builds the filter core and the hot loops over samples. Everything else about the distribution is in pyproject.toml.

SUAT_FILTERS_BOUNDSCHECK=1 builds it with index checks in Cython and in the C++ kernels, for the tests; going from one
kind to the other compiles everything again.
"""

import os
import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

HERE = Path(__file__).parent
SOURCES = "cython_ext"
MODULES = (
    "suat_filters.paths",
    "suat_filters.windows",
    "suat_filters.series",
    "suat_filters.bank",
    "suat_samples.samples",
    "suat_samples.summaries",
    "suat_samples.window_lines",
    "suat_samples.datagrams",
)
CPU_PATHS = "suat_filters.paths"  # whose kernels are compiled once for each path (kernels/paths.cpp)
X86_64 = {"baseline": [], "v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
FLAGS_OF: dict[str, dict[str, list[str]]] = {"x86_64": X86_64, "aarch64": {"neon": []}}
PATH_FLAGS = FLAGS_OF.get(platform.machine(), {"baseline": []})
OPTIONAL = {"suat_samples.frames": ["crypto"]}  # with the library it is linked to; without it Python does the same
CHECKED = os.environ.get("SUAT_FILTERS_BOUNDSCHECK", "") not in ("", "0")
KIND = "checked" if CHECKED else "plain"
HEADERS = sorted(str(path.relative_to(HERE)) for path in (HERE / SOURCES).glob("*/kernels/*.?pp"))
SHARED = sorted(str(path.relative_to(HERE)) for path in (HERE / SOURCES).glob("suat_filters/*.pxd"))
KERNELS = f"{SOURCES}/suat_filters/kernels"


class BuildExt(build_ext):
    """Compiles everything again when the objects at hand are of the other kind, and the kernels for each CPU path."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        mark = Path(self.build_temp) / "suat_filters.kind"
        before = mark.read_text() if mark.exists() else "plain"
        self.force = self.force or before != KIND
        super().run()
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(KIND)

    def build_extension(self, ext: Extension) -> None:
        target = self.get_ext_fullpath(ext.name)
        if ext.name == CPU_PATHS and (self.force or newer_group([*ext.sources, *ext.depends], target)):
            ext.extra_objects = [self.path_object(ext, path) for path in PATH_FLAGS]
        super().build_extension(ext)

    def path_object(self, ext: Extension, path: str) -> str:
        (found,) = self.compiler.compile(
            [f"{KERNELS}/path.cpp"],
            output_dir=str(Path(self.build_temp) / path),
            macros=[*ext.define_macros, ("SUAT_TABLE", f"kernels_{path}")],
            include_dirs=ext.include_dirs,
            extra_postargs=[*ext.extra_compile_args, *PATH_FLAGS[path]],
        )
        return str(found)


def extension(name: str) -> Extension:
    package, _, module = name.partition(".")
    return Extension(
        name,
        [f"{SOURCES}/{package}/{module}.pyx", *([f"{KERNELS}/paths.cpp"] if name == CPU_PATHS else [])],
        depends=[f"{SOURCES}/{package}/{module}.pyx", *SHARED, *HEADERS],
        include_dirs=[f"{SOURCES}/{package}", f"{SOURCES}/suat_filters"],
        language="c++",
        libraries=OPTIONAL.get(name, []),
        define_macros=[("SUAT_BOUNDSCHECK", "1"), ("_GLIBCXX_ASSERTIONS", "1")] if CHECKED else [],
        # A fused multiply-add rounds once where two steps round twice: off, so that every CPU gives the same bits.
        extra_compile_args=["-O3", "-std=c++17", "-ffp-contract=off", "-g0", "-Wall", "-Wextra"],
    )


modules = cythonize(  # type: ignore[no-untyped-call]
    [extension(name) for name in (*MODULES, *OPTIONAL)],
    include_path=[SOURCES],
    build_dir=f"build/filters-{KIND}",
    compiler_directives={
        "language_level": 3,
        "boundscheck": CHECKED,
        "wraparound": False,
        "initializedcheck": CHECKED,
        "cdivision": True,
        "embedsignature": True,
    },
)
for module in modules:  # Cython forgets it
    module.optional = module.name in OPTIONAL

setup(ext_modules=modules, cmdclass={"build_ext": BuildExt})
