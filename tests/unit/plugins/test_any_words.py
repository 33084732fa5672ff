# ruff: noqa: SIM905 - words are easier to read as they are written
"""Whatever words stand on a plugin's lines: they are taken, or refused with their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns import errors
from fastdns.config import corefile, lexer
from fastdns.forward import lookup
from fastdns.plugins import order

OPTIONS = """
    stacktrace consolidate class lameduck monitor runtime_metrics tls reload prefer except success denial prefetch
    serve_stale serve_stale_policy servfail disable keepttl fallthrough fallthrough_unsupported no_reverse ttl endpoint
    kubeconfig manifests namespaces namespace_labels labels pods endpoint_pod_names noendpoints ignore startup_timeout
    apiserver_qps apiserver_burst apiserver_max_inflight force_tcp prefer_udp expire max_age max_idle_conns read_timeout
    max_fails max_connect_attempts tls_servername policy health_check max_concurrent next next_on_nodata failover
    failfast_all_unhealthy_upstreams resolver source_address 192.0.2.1 fe80::1%lo
""".split()
NASTY = [
    *"0 -1 +-5 ² ٣ 1e999 nan inf 5s -5s . .. % 10% ²% : :53 :² [ [] [::1 ]:1 :: ::1 10.0.0.0/12 ::/0 0/0 / /dev/null".split(),
    *r"192.0.2.1 192.0.2.1:1 tls://192.0.2.1%a tls://% :// { } ( a= ! , \ verify immediate all info weighted".split(),
    *("", "\udcff", "1" * 5000, ":" + "1" * 5000, "1" * 400 + "h"),
]
WORD = st.one_of(st.sampled_from(NASTY), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8))


def token(text: str) -> lexer.Token:
    return lexer.Token(text, "Corefile", 1, starts_line=False)


@st.composite
def directives(draw: st.DrawFn) -> corefile.Directive:
    plugin = draw(st.sampled_from(list(order.PARSERS)))
    words = st.lists(WORD, max_size=5).map(lambda texts: tuple(map(token, texts)))
    names = st.one_of(st.sampled_from(OPTIONS), WORD).map(token)
    option = st.builds(corefile.Directive, names, words, st.just(()), st.just(plugin))
    block = draw(st.lists(option, max_size=3))
    return corefile.Directive(token(plugin), draw(words), tuple(block), plugin)


@pytest.fixture(scope="module", autouse=True)
def nobody_is_asked() -> None:
    def addresses(host: str, resolvers: object) -> tuple[str, ...]:
        raise OSError("no such host")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "addresses", addresses)
        yield


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of re.compile, for a pattern that will mean something else
@given(directives())
def test_any_words(directive: corefile.Directive) -> None:
    try:
        order.parse(directive.word, [directive], corefile.Scope())
    except errors.ConfigError as error:
        assert str(error)
