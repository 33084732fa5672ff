"""Ask the real dnsmasq all that worlds.py has, and write what it answers into cases.json."""

from __future__ import annotations

import json
import pathlib
import tempfile

from tests.conformance.dnsmasq import cases, servers, worlds


def record(folder: pathlib.Path) -> cases.Recorded:
    recorded: cases.Recorded = {}
    for number, world in enumerate(worlds.WORLDS):
        place = folder / str(number)
        cases.write_files(world, place)
        with (
            servers.Upstreams(world.arguments) as upstreams,
            servers.real(world.arguments, folder=place, upstreams=upstreams) as server,
        ):
            answers = cases.run(server, world, upstreams)
        recorded[world.name] = {
            key: [list(answer.lines), [str(ttl) for ttl in answer.ttls]] for key, answer in answers.items()
        }
    return recorded


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorded = record(pathlib.Path(folder))
    cases.FILE.write_text(json.dumps(recorded, indent=1) + "\n")
    print(f"{sum(map(len, recorded.values()))} answers of {len(recorded)} worlds")


if __name__ == "__main__":
    main()
