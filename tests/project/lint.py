"""Everything that `make lint` runs, one after the other; the exit code is 1 if one of them found something."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ("fastdns", "tests", "bench", "setup.py")


def commands() -> dict[str, list[str]]:
    cython = [
        str(path) for pattern in ("src/*.pyx", "fastdns/*.pxd", "bench/*.pyx") for path in sorted(ROOT.glob(pattern))
    ]
    packages = [
        word for path in sorted(ROOT.glob("tests/*/__init__.py")) for word in ("-p", f"tests.{path.parent.name}")
    ]
    stubtest = [sys.executable, "-m", "pytest", "-q", "tests/project/test_stubs.py"]
    return {
        "ruff check": ["ruff", "check", "--quiet", *PYTHON],
        "ruff format": ["ruff", "format", "--quiet", "--check", *PYTHON],
        "mypy": ["mypy", "-p", "fastdns", *packages],
        "stubtest": stubtest,
        "cython-lint": ["cython-lint", *cython],
        "import-linter": ["lint-imports", "--no-cache"],
        "codespell": ["codespell", *PYTHON, "src", "docs", "README.md", "CHANGELOG.md", "Makefile"],
    }


def main() -> int:
    failed = []
    for name, command in commands().items():
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"{name:14} {verdict}  ({time.monotonic() - began:.1f} s)", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout + done.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
