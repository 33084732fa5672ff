"""No function that runs without the GIL touches Python: neither by Cython's annotation nor in the C that it made.

`nogil` is no proof: `raise`, `assert`, `with gil` and a callee without `noexcept` take the GIL in silence. The annotation scores
lines of a .pyx only, so that an inline function of a .pxd is seen in the generated C alone.
"""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.project import compiled

# Each module's way of a query: these must be there, and must be free of Python. All other nogil functions must be so too.
HOT = {
    "_packet": {"read_query", "write_header", "write_question", "write_opt", "write_error", "expand_name", "is_below"},
    "_trie": {"find_name", "find_child", "start_walk", "fetch_child", "fetch_data", "end_walk"},
    "_rrset": {"read_data"},
    "_dashed": {"parse_ipv4", "parse_ipv6"},
    "_cache": {"begin_find", "fetch_entry", "find_reply", "store_reply", "keep_records"},
    "_inflight": {"ask_upstream", "flush_questions", "receive_replies", "next_event"},
    "_exchange": {"choose_upstream", "enqueue", "flush_upstream", "receive_from", "fire_timers"},
    "_pool": {"pick_socket", "retire_socket", "send_datagrams", "find_ready", "receive_datagrams", "read_errors"},
    "_questions": {"find_question", "find_by_id", "index_question", "unindex_question", "write_query", "is_reply_to"},
    "_coalescing": {"note_batch", "should_hold"},
    "_wheel": {"start_timer", "stop_timer", "take_fired", "next_due"},
    "_message": {"read_question", "read_records", "is_at_or_below", "is_equal_name"},
    "_rewrite": {"start_stored", "write_records"},
    "_reply": {"read_reply", "read_tail", "make_failure"},
    "_rules": {"judge_reply", "empty_reply", "trim_reply"},
    "_stored": {"write_stored"},
    "_service": {"find_entries", "count_addresses", "write_addresses", "write_services", "write_glue"},
    "_decide": {"find_answer", "is_known"},
    "_encode": {"write_finding"},
    "_askers": {"take_asker", "release_asker", "keep_query", "restore_query", "is_ipv6"},
    "_plan": {"covers"},
    "_observe": {"_observe"},
    "_answer": {"answer_batch", "begin_batch", "end_batch"},
    "_late": {"_take_events", "_on_reply", "_give", "_finish", "flush_answers"},
    "_udp": {
        "_receive",
        "_receive_batch",
        "_receive_one",
        "_expect",
        "_read_peer",
        "_take_datagrams",
        "_answer_batch",
        "_answer_waiting",
        "_send_answers",
        "_send_all",
        "_send_some",
        "_flush",
        "keep_late",
        "_address",
    },
}
PYTHON_CALL = re.compile(r"\b(?:Py[A-Z]\w*|__Pyx_\w+)\s*\(")
ALLOWED = re.compile(r"__Pyx_(?:div|mod)_\w+|__Pyx_pow_\w+")
CALL = re.compile(r"\b(__pyx_f_\w+)\s*\(")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("cython")
    compiled.generate(folder)
    return folder / "src"


MODULES = [source.stem for source in compiled.SOURCES]


@pytest.mark.parametrize("module", MODULES)
def test_lines_without_gil_score_zero(module: str, generated: pathlib.Path) -> None:
    scores = compiled.scores(generated / f"{module}.html")
    assert scores, "the annotation page could not be read"
    touching = [
        f"{module}.pyx:{line}: score {scores[line]} in {function.name}"
        for function in compiled.functions(compiled.ROOT / "src" / f"{module}.pyx")
        if function.takes_no_gil
        for line in range(function.first, function.last + 1)
        if scores.get(line, 0) > 0
    ]
    assert not touching, "\n".join(touching)


@pytest.mark.parametrize("module", MODULES)
def test_c_without_gil_calls_no_python(module: str, generated: pathlib.Path) -> None:
    bodies = compiled.c_functions(generated / f"{module}.c")
    roots = [
        name
        for function in compiled.functions(compiled.ROOT / "src" / f"{module}.pyx")
        if function.takes_no_gil
        for name in bodies
        if re.search(rf"_{len(module)}{module}_(?:\d+[A-Z]\w*?_)?{function.name}$", name)
    ]
    faults = []
    reached, todo = set(roots), list(roots)
    while todo:
        name = todo.pop()
        calls = {call[:-1].strip() for call in PYTHON_CALL.findall(bodies[name])}
        faults += [f"{name} calls {call}" for call in sorted(calls) if not ALLOWED.fullmatch(call)]
        for callee in CALL.findall(bodies[name]):
            if callee in bodies and callee not in reached:
                reached.add(callee)
                todo.append(callee)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("module", sorted(HOT))
def test_hot_functions_take_no_gil(module: str) -> None:
    source = compiled.ROOT / "src" / f"{module}.pyx"
    without_gil = {function.name for function in compiled.functions(source) if function.takes_no_gil}
    assert without_gil >= HOT[module], f"renamed, or they take the GIL now: {HOT[module] - without_gil}"


def test_planted_faults_are_found(tmp_path: pathlib.Path) -> None:
    """The two checks see what they are for, in a page and a C file as Cython writes them."""
    page = tmp_path / "page.html"
    page.write_text('<pre class="cython line score-6" onclick="x">+<span class="">12</span>: raise</pre>')
    assert compiled.scores(page) == {12: 6}
    code = tmp_path / "code.c"
    code.write_text("static int __pyx_f_7fastdns_2_x_leaf(int a) {\n  __Pyx_Raise(a);\n}\n")
    assert PYTHON_CALL.search(compiled.c_functions(code)["__pyx_f_7fastdns_2_x_leaf"])
