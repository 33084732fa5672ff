"""A few thousand random questions, in every variant of the Corefile, before and after changes to the cluster."""

from __future__ import annotations

import os
import pathlib
import random
from collections.abc import Iterator

import pytest

from tests.differential import run
from tests.differential.questions import Asker
from tests.differential.variants import VARIANTS, Variant
from tests.differential.world import World
from tests.peers.apiserver import ApiServer
from tests.peers.servers import Knot

SEED = os.environ.get("FASTDNS_SEED", "1")
QUESTIONS = int(os.environ.get("FASTDNS_QUESTIONS", "600"))
CHANGES = 40
SHOWN = 40

pytestmark = pytest.mark.peers("kube-apiserver", "etcd", "openssl", "coredns", "knotd")


@pytest.fixture(scope="module")
def seed() -> int:
    number = random.randrange(10**6) if SEED == "random" else int(SEED)
    print(f"FASTDNS_SEED={number}")
    return number


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    zone = pathlib.Path(__file__).with_name("upstream.zone").read_text()
    with Knot(folder=tmp_path_factory.mktemp("knot"), zone=zone) as knot:
        yield knot


@pytest.fixture(scope="module")
def world(api: ApiServer, seed: int) -> World:
    made = World(seed)
    run.fill(api, made)
    return made


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_answers_as_coredns(
    variant: Variant, api: ApiServer, upstream: Knot, world: World, seed: int, tmp_path: pathlib.Path
) -> None:
    outcome = run.Outcome()
    asker = Asker(world, f"{seed} {variant.name}", zones=variant.zones, imports=variant.imports, zonal=variant.zonal)
    with run.Pair(variant, folder=tmp_path, api=api, upstream=upstream.port) as pair:
        run.compare_servers(pair, [asker.question() for _ in range(QUESTIONS // 2)], outcome)
        if not variant.caches_cluster:
            run.apply_changes(api, world.change(CHANGES))
            run.compare_servers(pair, [asker.question() for _ in range(QUESTIONS - QUESTIONS // 2)], outcome)
    print(f"{variant.name}: {outcome.asked} questions, {dict(outcome.kinds)}, excused: {dict(outcome.excused)}")
    shown = "\n".join(outcome.unexplained[:SHOWN])
    assert outcome.kinds["NOERROR with records"] >= outcome.asked / 20, (
        "too few of the questions have an answer to compare"
    )
    assert not outcome.unexplained, (
        f"{len(outcome.unexplained)} of {outcome.asked} answers differ without a reason:\n{shown}"
    )
