"""Builds the filter core. Everything else about the distribution is in pyproject.toml.

SUAT_FILTERS_BOUNDSCHECK=1 builds it with index checks in Cython and in the C++ kernels, for the tests; going from one
kind to the other compiles everything again.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path(__file__).parent
FILTERS = "cython_ext/suat_filters"
CHECKED = os.environ.get("SUAT_FILTERS_BOUNDSCHECK", "") not in ("", "0")
BUILD_DIR = "build/filters-checked" if CHECKED else "build/filters"


def kind_changed() -> bool:
    """True when the last build in this folder was of the other kind, whose objects must not be taken over."""
    mark = HERE / "build" / "filters.kind"
    before = mark.read_text() if mark.exists() else ""
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(BUILD_DIR)
    return before not in ("", BUILD_DIR)


def extension(name: str) -> Extension:
    return Extension(
        f"suat_filters.{name}",
        [f"{FILTERS}/{name}.pyx"],
        depends=sorted(str(path.relative_to(HERE)) for path in (HERE / FILTERS / "kernels").glob("*.hpp")),
        include_dirs=[FILTERS],
        language="c++",
        define_macros=[("SUAT_BOUNDSCHECK", "1"), ("_GLIBCXX_ASSERTIONS", "1")] if CHECKED else [],
        # A fused multiply-add rounds once where two steps round twice: off, so that every CPU gives the same bits.
        extra_compile_args=["-O3", "-std=c++17", "-ffp-contract=off", "-g0", "-Wall", "-Wextra"],
    )


setup(
    ext_modules=cythonize(
        [extension("batch"), extension("bank")],
        build_dir=BUILD_DIR,
        force=kind_changed(),
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "initializedcheck": CHECKED,
            "cdivision": True,
            "embedsignature": True,
        },
    ),
    options={"build_ext": {"force": True}} if CHECKED else {},
)
