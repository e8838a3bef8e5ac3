"""Builds the filter core and the hot loops over samples. Everything else about the distribution is in pyproject.toml.

SUAT_FILTERS_BOUNDSCHECK=1 builds it with index checks in Cython and in the C++ kernels, for the tests; going from one
kind to the other compiles everything again.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
SOURCES = "cython_ext"
MODULES = (
    "suat_filters.batch",
    "suat_filters.bank",
    "suat_samples.samples",
    "suat_samples.summaries",
    "suat_samples.datagrams",
)
OPTIONAL = {"suat_samples.frames": ["crypto"]}  # with the library it is linked to; without it Python does the same
CHECKED = os.environ.get("SUAT_FILTERS_BOUNDSCHECK", "") not in ("", "0")
KIND = "checked" if CHECKED else "plain"
HEADERS = sorted(str(path.relative_to(HERE)) for path in (HERE / SOURCES).glob("*/kernels/*.hpp"))


class BuildExt(build_ext):
    """Compiles everything again when the objects at hand are of the other kind."""

    def run(self) -> None:
        mark = Path(self.build_temp) / "suat_filters.kind"
        before = mark.read_text() if mark.exists() else "plain"
        self.force = self.force or before != KIND
        super().run()
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(KIND)


def extension(name: str) -> Extension:
    package, _, module = name.partition(".")
    return Extension(
        name,
        [f"{SOURCES}/{package}/{module}.pyx"],
        depends=[f"{SOURCES}/{package}/{module}.pyx", f"{SOURCES}/suat_filters/bank.pxd", *HEADERS],
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
