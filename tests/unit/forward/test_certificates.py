import pathlib

import pytest

from fastdns.forward import certificates


def test_no_files() -> None:
    certificates.check_files(certificate="", key="", ca="")


def test_missing_file(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "ca.pem")
    with pytest.raises(FileNotFoundError) as raised:
        certificates.check_files(certificate="", key="", ca=path)
    assert raised.value.filename == path


@pytest.mark.parametrize("names", [{"ca": "file"}, {"certificate": "file", "key": "file"}])
def test_file_of_something_else(tmp_path: pathlib.Path, names: dict[str, str]) -> None:
    (tmp_path / "file").write_text("no certificate\n")
    paths = {"certificate": "", "key": "", "ca": ""} | {name: str(tmp_path / file) for name, file in names.items()}
    with pytest.raises(OSError):
        certificates.check_files(**paths)
