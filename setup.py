"""Builds the compiled modules; everything else about the package stands in pyproject.toml.

FASTDNS_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer, for the fuzz targets
FASTDNS_ANNOTATE=1   Cython's annotation pages too, for the hot-path test
FASTDNS_CYTHON_DIR   where generated C goes (default build/cython)
FASTDNS_WERROR=1     compiler warnings are errors
"""

import os
import pathlib

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = [
    "_answer",
    "_askers",
    "_cache",
    "_coalescing",
    "_counters",
    "_dashed",
    "_decide",
    "_encode",
    "_exchange",
    "_engine",
    "_inflight",
    "_late",
    "_message",
    "_names",
    "_observe",
    "_order",
    "_packet",
    "_plan",
    "_pool",
    "_questions",
    "_reply",
    "_rewrite",
    "_rrset",
    "_rules",
    "_service",
    "_stored",
    "_trie",
    "_udp",
    "_wheel",
]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": True,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "auto_pickle": False,
}
WARNINGS = ["-Wall", "-Wextra", "-Wsign-compare", "-Wno-unused-parameter"]


def compile_flags() -> list[str]:
    if os.environ.get("FASTDNS_SANITIZE"):
        return [*WARNINGS, "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    werror = ["-Werror"] if os.environ.get("FASTDNS_WERROR") else []
    return [*WARNINGS, *werror, "-O3", "-g1"]


def link_flags() -> list[str]:
    return ["-fsanitize=address,undefined"] if os.environ.get("FASTDNS_SANITIZE") else []


def drop_stale_c(folder: pathlib.Path) -> None:
    """Have a module made again whose own .pxd has changed: Cython looks for that beside the .pyx alone."""
    for name in MODULES:
        made, declared = folder / f"src/{name}.c", pathlib.Path(f"fastdns/{name}.pxd")
        if made.exists() and declared.exists() and made.stat().st_mtime < declared.stat().st_mtime:
            made.unlink()


CYTHON_DIR = os.environ.get("FASTDNS_CYTHON_DIR", "build/cython")
drop_stale_c(pathlib.Path(CYTHON_DIR))
setup(
    ext_modules=cythonize(
        [
            Extension(
                f"fastdns.{name}",
                [f"src/{name}.pyx"],
                extra_compile_args=compile_flags(),
                extra_link_args=link_flags(),
            )
            for name in MODULES
        ],
        build_dir=CYTHON_DIR,
        annotate=bool(os.environ.get("FASTDNS_ANNOTATE")),
        compiler_directives=DIRECTIVES,
        nthreads=0,
    ),
)
