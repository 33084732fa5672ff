from fastdns.config import model


def test_alone(read) -> None:
    assert read("errors") == (model.Errors(),)


def test_stdout(read) -> None:
    assert read("errors stdout") == (model.Errors(),)


def test_stacktrace(read) -> None:
    assert read("errors {\n stacktrace\n}") == (model.Errors(stacktrace=True),)


def test_consolidate(read) -> None:
    lines = """
    errors {
        consolidate 5m ".* i/o timeout$" warning
        consolidate 30s "^Failed to .+"
        consolidate 1m x info show_first
    }
    """
    expected = (
        model.Consolidate(300.0, ".* i/o timeout$", "warning"),
        model.Consolidate(30.0, "^Failed to .+", "error"),
        model.Consolidate(60.0, "x", "info", show_first=True),
    )
    assert read(lines) == (model.Errors(consolidate=expected),)
