import asyncio
from collections.abc import Iterator

import pytest

from fastdns.config import model
from fastdns.server import children, sites

KUBERNETES = model.Kubernetes(zones=("cluster.local.",))


class Generation:
    def __init__(self) -> None:
        self.is_serving = False
        self.config = make_config()

    def living(self) -> Iterator[children.Child]:
        return iter(())

    def read_counters(self, totals: object) -> None:
        pass


class Server:
    def __init__(self) -> None:
        self.current = Generation()
        self.retiring: list[Generation] = []
        self.control = None
        self.is_ending = False

    def processes(self) -> Iterator[children.Child]:
        return iter(())


def make_config(monitor: str = "until-ready") -> model.Config:
    block = model.ServerBlock(".", (), (KUBERNETES, model.Ready("127.0.0.1", 0, monitor)), "Corefile", 1)
    return model.Config((block,), digest="")


@pytest.fixture
def server() -> Server:
    return Server()


def open_sites(server: Server, monitor: str = "until-ready") -> sites.Sites:
    made = sites.Sites(server)  # type: ignore[arg-type]

    async def main() -> None:
        await made.start(make_config(monitor))
        for one in made._open.values():
            one.close()

    asyncio.run(main())
    return made


def test_not_ready_before_workers_serve_and_the_cluster_is_listed(server: Server) -> None:
    made = open_sites(server)
    assert made.find_unready() == ["kubernetes", "server"]
    made.set_unready("")
    assert made.find_unready() == ["server"]
    server.current.is_serving = True
    assert made.find_unready() == []


def test_what_was_ready_once_stays_so(server: Server) -> None:
    made = open_sites(server)
    server.current.is_serving = True
    made.set_unready("")
    assert made.find_unready() == []
    server.current.is_serving = False
    made.set_unready("kubernetes")
    assert made.find_unready() == []


def test_monitored_continuously_it_does_not(server: Server) -> None:
    made = open_sites(server, "continuously")
    server.current.is_serving = True
    made.set_unready("")
    made.set_unready("kubernetes")
    assert made.find_unready() == ["kubernetes"]


def test_ready_page(server: Server) -> None:
    made = open_sites(server)
    server.current.is_serving = True
    answer = asyncio.run(made._show_ready())
    assert (answer.status, answer.body) == (503, b"kubernetes")
    made.set_unready("")
    assert asyncio.run(made._show_ready()).status == 200
    server.is_ending = True
    assert asyncio.run(made._show_ready()).status == 503
    assert asyncio.run(made._show_health()).body == b"OK"


def test_metrics_page_has_what_must_always_be_there(server: Server) -> None:
    made = open_sites(server)
    made.count("coredns_reload_failed_total")
    made.observe_health(0.0003)
    page = asyncio.run(made._show_metrics()).body.decode()
    assert "coredns_reload_failed_total 1.0\n" in page
    assert "coredns_panics_total 0.0\n" in page
    assert 'coredns_health_request_duration_seconds_bucket{le="0.00025"} 0.0\n' in page
    assert 'coredns_health_request_duration_seconds_bucket{le="0.0025"} 1.0\n' in page
    assert 'fastdns_process_open_fds{process="supervisor"}' in page


def test_lameduck_is_the_longest() -> None:
    block = model.ServerBlock(".", (), (model.Health(lameduck=1), model.Health(lameduck=5)), "Corefile", 1)
    assert sites.find_lameduck(model.Config((block,), "")) == 5
    assert sites.find_lameduck(make_config()) == 0
