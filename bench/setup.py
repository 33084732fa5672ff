"""Builds the floor and the load client in place: `python bench/setup.py build_ext --inplace`."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": True,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "auto_pickle": False,
}
FLAGS = ["-Wall", "-Wextra", "-Wsign-compare", "-Wno-unused-parameter", "-O3", "-g1"]

os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
setup(
    name="fastdns-bench",
    packages=["bench"],
    ext_modules=cythonize(
        [Extension(f"bench.{name}", [f"bench/{name}.pyx"], extra_compile_args=FLAGS) for name in ("_floor", "_load")],
        build_dir="build/bench",
        compiler_directives=DIRECTIVES,
        nthreads=0,
    ),
    options={"build": {"build_base": "build/bench"}},
)
