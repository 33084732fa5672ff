"""`python -m tests.fuzz.worker TARGET SECONDS SEED FILE`: runs one target; FILE always holds the input being run."""

from __future__ import annotations

import mmap
import pathlib
import random
import struct
import sys
import time

from tests.fuzz import mutate


def main() -> int:
    target, seconds, seed, place = sys.argv[1:]
    run = mutate.load(target).run
    inputs = mutate.Inputs(mutate.seeds(target), random.Random(int(seed)))
    pathlib.Path(place).write_bytes(bytes(4 + mutate.SIZE_MAX))
    deadline = time.monotonic() + float(seconds)
    count = 0
    with open(place, "r+b") as file, mmap.mmap(file.fileno(), 0) as current:
        for data in inputs:
            current[: 4 + len(data)] = struct.pack("!I", len(data)) + data
            inputs.learn(data, run(data))
            count += 1
            if count % 256 == 0 and time.monotonic() > deadline:
                break
    print(f"{target}: {count} inputs in {seconds} s, none of them a finding", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
