"""One ConfigMap, followed through the API: its keys go out each time that they change, none when it is gone.

It is read, and then watched by its name: kube-dns watches without a name, so that any ConfigMap of the namespace
becomes its configuration.
"""

from __future__ import annotations

import logging
import threading
import urllib.parse
from collections.abc import Callable, Mapping

import msgspec

from fastdns import errors
from fastdns.kubernetes import client as api
from fastdns.kubernetes import objects

logger = logging.getLogger(__name__)

READ_TIMEOUT = 30.0
WATCH_SECONDS = 240
WATCH_TIMEOUT = 300.0
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before the next try, by the number of failures in a row
LINE_MAX = 8 << 20

Take = Callable[[Mapping[str, str]], None]


class _Metadata(objects.Struct, frozen=True):
    name: str | None = None
    resource_version: str | None = None


class _ConfigMap(objects.Struct, frozen=True):
    metadata: _Metadata | None = None
    data: dict[str, str] | None = None


class _Event(objects.Struct, frozen=True):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"null")


class Follower:
    """Follows one ConfigMap in a thread until `stop`. `take` is called there."""

    def __init__(self, client: api.Client, *, namespace: str, name: str, take: Take) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/configmaps"
        self._name = name
        self._take = take
        self._stopping = threading.Event()
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="configmap", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The thread ends with the watch at hand; as a daemon it holds nobody up."""
        self._stopping.set()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._watch(self._read())
                failures = 0
            except (errors.ApiError, OSError, ValueError) as error:
                if str(error) != self._complaint:
                    logger.warning("configmap %s: %s", self._name, error)
                    self._complaint = str(error)
                self._stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    def _read(self) -> str:
        """Read the object; the version to watch from. Raises ApiError."""
        path = f"{self._path}/{urllib.parse.quote(self._name, safe='')}"
        try:
            response = self._client.get(path, {}, verb="GET", timeout=READ_TIMEOUT)
        except errors.ApiError as error:
            if error.status != 404:
                raise
            self._give({})
            return ""
        try:
            found = msgspec.json.decode(response.read(), type=_ConfigMap)
        finally:
            response.release_conn()
        self._give(found.data or {})
        return (found.metadata.resource_version if found.metadata else "") or ""

    def _watch(self, version: str) -> None:
        """Watch until the API server ends it. Raises ApiError, OSError."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={self._name}",
            "timeoutSeconds": str(WATCH_SECONDS),
            **({"resourceVersion": version} if version else {}),
        }
        response = self._client.get(self._path, query, verb="WATCH", timeout=WATCH_TIMEOUT)
        rest = b""
        try:
            while not self._stopping.is_set():
                octets = response.read1()
                if not octets:
                    return
                *lines, rest = (rest + octets).split(b"\n")
                for line in lines:
                    if line.strip() and not self._take_event(line):
                        return
                if len(rest) > LINE_MAX:
                    raise errors.ApiError(f"an event of more than {LINE_MAX} octets")
        finally:
            response.close()

    def _take_event(self, line: bytes) -> bool:
        """False: what is known is too old, and read anew."""
        event = msgspec.json.decode(line, type=_Event)
        if event.type == "ERROR":
            return False
        if event.type in ("ADDED", "MODIFIED", "DELETED"):
            found = msgspec.json.decode(event.object, type=_ConfigMap)
            if found.metadata is not None and found.metadata.name == self._name:
                self._give({} if event.type == "DELETED" else found.data or {})
        return True

    def _give(self, data: Mapping[str, str]) -> None:
        self._complaint = ""
        self._take(data)
