"""The command `fastdns migrate`: prints the Corefile that is equal to a kube-dns pod's arguments and ConfigMap."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import yaml

from fastdns import errors
from fastdns.config import folder
from fastdns.config.migrate import plan, pod, writing

FAILURE = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status. What a Corefile can't say is told on stderr."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not options.files and not options.config_dir:
        parser.error("give manifests, or a folder of the ConfigMap's keys")
    try:
        data = folder.read(options.config_dir).data if options.config_dir else None
        made = plan.make_plan(pod.read_pod([one for path in options.files for one in read_documents(path)], data=data))
    except (errors.FastdnsError, OSError) as error:
        print(f"fastdns migrate: {error}", file=sys.stderr)
        return FAILURE
    text = writing.write(made)
    for note in (*made.notes, *check(text)):
        print(f"fastdns migrate: {note}", file=sys.stderr)
    print(text, end="")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastdns migrate",
        description="Print the Corefile that is equal to a kube-dns pod's arguments and ConfigMap.",
        epilog="kubectl -n kube-system get deployment,configmap kube-dns -o yaml | fastdns migrate - > Corefile",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config-dir", default="", metavar="DIR", help="folder with the keys of the ConfigMap, a file each"
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help='manifests as kubectl prints them; "-" is standard input'
    )
    return parser


def read_documents(path: str) -> Iterator[object]:
    """Raises ManifestError, OSError."""
    if path == "-":
        text = sys.stdin.read()
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    try:
        yield from yaml.safe_load_all(text)
    except yaml.YAMLError as error:
        raise errors.ManifestError(f"{path}: {' '.join(str(error).split())}") from None


def check(text: str) -> Iterator[str]:
    """Say why what is printed could not be served here: files that only the pod has are missing, for one."""
    from fastdns.server import configuration

    try:
        configuration.parse(text, file="Corefile")
    except (errors.FastdnsError, OSError) as error:
        yield f"on this machine it could not be served: {error}"


if __name__ == "__main__":
    sys.exit(main())
