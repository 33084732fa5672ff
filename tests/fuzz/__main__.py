"""`python -m tests.fuzz [--seconds N] [--seed N] [TARGET...]`: build with sanitizers, run every target, keep what broke it."""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import random
import struct
import subprocess
import sys

from tests.fuzz import mutate

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "build" / "sanitized"
LIBRARY = BASE / "lib"


def build() -> None:
    environment = {**os.environ, "FASTDNS_SANITIZE": "1", "FASTDNS_CYTHON_DIR": str(BASE / "cython")}
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(BASE), "--build-lib", str(LIBRARY)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the build with sanitizers failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def runtime(name: str) -> str:
    found = subprocess.run(
        [os.environ.get("CC", "gcc"), f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": f"{LIBRARY}{os.pathsep}{ROOT}",
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


def keep(target: str, place: pathlib.Path) -> pathlib.Path:
    """Make a seed of the input that was being run."""
    octets = place.read_bytes()
    (size,) = struct.unpack_from("!I", octets)
    data = octets[4 : 4 + size]
    mutate.corpus(target).mkdir(parents=True, exist_ok=True)
    kept = mutate.corpus(target) / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
    kept.write_bytes(data)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("target", nargs="*", help=f"of {', '.join(mutate.targets())}; all of them without one")
    options = parser.parse_args()
    build()
    findings = 0
    print(f"seed {options.seed}", flush=True)
    for target in options.target or mutate.targets():
        place = BASE / f"{target}.input"
        # -P: not ROOT's own fastdns, which has no sanitizers, but the one of PYTHONPATH
        command = [
            sys.executable,
            "-P",
            "-m",
            "tests.fuzz.worker",
            target,
            str(options.seconds),
            str(options.seed),
            str(place),
        ]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout.rstrip()[-6000:], flush=True)
        if done.returncode:
            findings += 1
            print(f"FOUND by {target}: kept as {keep(target, place).relative_to(ROOT)}", flush=True)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
