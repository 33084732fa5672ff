"""What is published works: sdist, wheel from it, a clean venv, and one answer from there, away from the source tree."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import venv
import zipfile

import pytest

from tests.peers.process import Process, free_port
from tests.project.compiled import ROOT, SOURCES

COREFILE = """.:{port} {{
    bind 127.0.0.1
    kubernetes cluster.local {{
        manifests {folder}
        ttl 30
    }}
}}
"""
QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0000") + b"\3web\4shop\3svc\7cluster\5local\0" + b"\0\1\0\1"


def run(*command: object, cwd: pathlib.Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The tree as git has it, without what was built in place: a wheel must not work by luck."""
    folder = tmp_path_factory.mktemp("source")
    listed = (
        run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines() if (ROOT / ".git").exists() else []
    )
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    if not listed:
        pytest.fail("the source tree is no git checkout: what belongs to it is not known")
    return folder


@pytest.fixture(scope="module")
def sdist(source: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("sdist")
    command = [
        sys.executable,
        "-c",
        "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))",
        folder,
    ]
    run(*command, cwd=source)
    return next(folder.glob("fastdns-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = next(path for path in folder.iterdir() if path.is_dir())
    run(
        sys.executable, "-c", "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])", folder, cwd=unpacked
    )
    return next(folder.glob("fastdns-*.whl"))


def test_wheel_has_every_module(wheel: pathlib.Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for source in SOURCES:
        assert any(name.startswith(f"fastdns/{source.stem}.") and name.endswith(".so") for name in names)
        assert f"fastdns/{source.stem}.pyi" in names
    python = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fastdns").rglob("*.py")}
    assert python <= set(names)
    assert "fastdns/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "src/"))]


def test_installed_wheel_answers(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=tmp_path)
    assert "fastdns" in run(programs / "fastdns", "-version", cwd=tmp_path).lower()
    port = free_port()
    (tmp_path / "Corefile").write_text(COREFILE.format(port=port, folder=ROOT / "examples" / "cluster"))
    process = Process([str(programs / "fastdns"), "-conf", "Corefile"], log=tmp_path / "log", cwd=tmp_path)
    try:
        process.wait_until(lambda: b"\x0a\x60\x00\x14" in answer(port), what="10.96.0.20")
    finally:
        assert process.stop() == 0, process.log()


def answer(port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)
        client.connect(("127.0.0.1", port))
        try:
            client.send(QUERY)
            return client.recv(4096)
        except OSError:
            time.sleep(0.05)
            return b""
