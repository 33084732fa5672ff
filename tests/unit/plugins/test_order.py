from fastdns.config import model
from fastdns.plugins import order


def test_plugins_stand_in_the_fixed_order(read) -> None:
    plugins = read("whoami\nlog\ncache\nloop\nkubernetes cluster.local\nreload\nerrors\nbufsize")
    kinds = [type(plugin) for plugin in plugins]
    assert kinds == [
        model.Reload,
        model.Bufsize,
        model.Errors,
        model.Log,
        model.Cache,
        model.Kubernetes,
        model.Loop,
        model.Whoami,
    ]


def test_every_word_has_its_place() -> None:
    assert set(order.PARSERS) <= set(order.ORDER)
    assert len(set(order.ORDER)) == len(order.ORDER)


NO_WORDS = {"kubednspages", "skydns"} | {
    "localdomains", "localnames", "loopdetect", "manner", "nowindows", "querylog", "replyrules", "statistics", "undotted",
}  # fmt: skip
"""What the command lines of kube-dns and of dnsmasq alone make."""


def test_every_plugin_has_its_word() -> None:
    assert {kind.__name__.lower() for kind in model.Plugin.__args__} - NO_WORDS == set(order.PARSERS)
