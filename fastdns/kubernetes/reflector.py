"""Reflector: one resource of the API server, kept up with: LIST in pages, then WATCH from where the list ended.

A thread of its own reads HTTP and JSON; changes go to `deliver` in the order in which they are to be applied. A list is
delivered as BEGIN, its objects, END, so that only the difference need be applied, and nothing is ever emptied first.
What can go wrong on the way ends a watch, never the thread: it resumes from the resourceVersion that it knows, lists
again when the API server doesn't know that version any more (410), and backs off, with jitter, while requests fail.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import urllib3

from fastdns import errors
from fastdns.kubernetes import client as api
from fastdns.kubernetes import listing, metrics, objects
from fastdns.kubernetes.objects import Kind

logger = logging.getLogger(__name__)

PAGE_SIZE = 500
READ_TIMEOUT = 85.0
"""A watch that says nothing for so long, not even a bookmark (one a minute is usual), is taken for dead."""
WATCH_SECONDS = (300.0, 600.0)
BACKOFF_FIRST, BACKOFF_MAX = 0.8, 30.0
RETRY_AFTER_MAX = 120.0
CONSISTENCY_SECONDS = 600.0
"""A list that proves that nothing was missed is made about this often (and half of it more, by chance)."""
SETTLED_SECONDS = 5.0
"""A watch that held so long was a good one: what ends it then is a first failure again."""
PROBE_PAUSE = 30.0
"""Between two looks at whether the cluster went back in time."""
READ_SIZE = 1 << 16
LINE_MAX = 64 << 20


class Op(enum.Enum):
    BEGIN = enum.auto()  # a whole list comes
    PUT = enum.auto()
    KEEP = enum.auto()  # an object of the list that can't be read: what is known of it stays
    GONE = enum.auto()
    END = enum.auto()  # the list is complete


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    op: Op
    kind: Kind
    item: objects.AnyObject | None = None
    namespace: str = ""
    name: str = ""
    uid: str = ""


Deliver = Callable[[Sequence[Change]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A resource's path, and what of it is asked for. `instead` is used if the API server doesn't have it."""

    kind: Kind
    path: str
    selector: Mapping[str, str] = dataclasses.field(default_factory=dict)
    instead: Resource | None = None


class _Event(objects.Struct, frozen=True):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"null")


class _Status(objects.Struct, frozen=True):
    code: int | None = None
    reason: str | None = None
    message: str | None = None


class _Head(objects.Struct, frozen=True):
    metadata: objects.Metadata | None = None


class Gone(errors.ApiError):
    """The resourceVersion that we know is no more to be had: 410."""


class Reflector:
    """Keeps up with one resource until `stop`.

    `deliver` is called in the reflector's thread. `monotonic`, `wait` (of seconds; true: we are to stop) and `chance`
    (of a low and a high bound) are for tests.
    """

    def __init__(
        self,
        resource: Resource,
        client: api.Client,
        deliver: Deliver,
        *,
        counts: metrics.Metrics,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[float, float], float] = random.uniform,
        wait: Callable[[float], bool] | None = None,
        read_timeout: float = READ_TIMEOUT,
        consistency: float = CONSISTENCY_SECONDS,
        complain: Callable[[str], None] = logger.warning,
    ) -> None:
        self.resource = resource
        self.version = ""
        self.is_synced = False
        self.heard_at: float | None = None
        self.failure = ""
        self._client = client
        self._deliver = deliver
        self._counts = counts
        self._monotonic = monotonic
        self._chance = chance
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._read_timeout = read_timeout
        self._consistency = consistency
        self._complain = complain
        self._failures = 0
        self._list_due = 0.0
        self._probed_at = float("-inf")
        self._may_be_past = False
        self._said: set[str] = set()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        name = f"reflector-{self.resource.kind}"
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the thread leaves soon after."""
        self._stopping.set()
        response = self._response
        if response is not None:
            with contextlib.suppress(ValueError, RuntimeError, OSError):  # it has ended by itself
                response.shutdown()

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def run(self) -> None:
        """List and watch until stopped."""
        while not self._stopping.is_set():
            try:
                self.step()
            except errors.ApiError as error:
                self._fail(error)
            except Exception as error:  # a bug here must not end the watching
                logger.exception("%s: unexpected", self.resource.kind)
                self._fail(errors.ApiError(str(error), 0, "internal"))

    def step(self) -> None:
        """One list if one is due, then one watch until it ends. Raises ApiError."""
        if self._is_list_due():
            self._list("" if self.is_synced or self._failures else "0")
        self._watch()

    # --- when things fail --------------------------------------------------------------------------------------------

    def _fail(self, error: errors.ApiError) -> None:
        """Say it once, count it, and wait as long as it asks for."""
        if self._stopping.is_set():
            return
        reason = str(error.status) if error.status else error.reason or "unreachable"
        self._counts.increment(metrics.ERRORS, str(self.resource.kind), reason)
        if error.status == 404 and self.resource.instead is not None and not self.is_synced:
            self._complain(f"{self.resource.kind}: the API server has none, {self.resource.instead.kind} are used")
            self.resource, self._failures = self.resource.instead, 0
            return
        self._say(error)
        self._failures += 1
        if isinstance(error, Gone):
            self.version, self._list_due = "", 0.0
        elif error.status == 401:
            self._client.refresh()
        self._may_be_past = self._may_be_past or error.reason in ("cut", "silent", "unreachable")
        self._wait(self._pause(error))

    def _pause(self, error: errors.ApiError) -> float:
        """Seconds: what Retry-After says and up to half more, else 0.8 doubled up to 30, and up to as much again."""
        if error.retry_after:
            return min(error.retry_after, RETRY_AFTER_MAX) * self._chance(1.0, 1.5)
        if self._failures == 1 and (isinstance(error, Gone) or error.status == 401):
            return self._chance(0.0, BACKOFF_FIRST)
        exponent = min(self._failures - 1, 6)
        return float(min(BACKOFF_FIRST * 2**exponent * self._chance(1.0, 2.0), BACKOFF_MAX))

    def _say(self, error: errors.ApiError) -> None:
        """One line for each new cause; a watch that has ended is none."""
        self.failure = str(error)
        cause = f"{error.status}/{error.reason}"
        if error.reason == "ended" or cause in self._said:
            return
        self._said.add(cause)
        hint = ""
        if error.status == 403:
            hint = f"; allow `list` and `watch` of {self.resource.kind} to fastdns's ServiceAccount; the rest is served"
        self._complain(f"{self.resource.kind}: {error}{hint}")

    def _heard(self) -> None:
        self.heard_at = self._monotonic()

    def _recovered(self) -> None:
        if self.failure and self._said:
            logger.info("%s: the API server answers again", self.resource.kind)
        self._failures, self.failure = 0, ""
        self._said.clear()

    # --- LIST --------------------------------------------------------------------------------------------------------

    def _is_list_due(self) -> bool:
        return not self.version or self._monotonic() >= self._list_due or self._went_back()

    def _went_back(self) -> bool:
        """After a broken connection: whether the cluster is older than what we know, as after a restored etcd.

        The API server says nothing to a watch from the future: client-go then misses all events for hours.
        """
        if not self._may_be_past or self._monotonic() - self._probed_at < PROBE_PAUSE:
            return False
        self._probed_at = self._monotonic()
        page = self._open_list({"limit": "1"})
        for _ in page:
            pass  # only the version matters
        self._may_be_past = False
        return _is_older(page.metadata.resource_version or "", self.version)

    def _list(self, version: str) -> None:
        """All objects, page by page; some are applied while others are still to come.

        The first list of all takes what the API server has in its cache (version 0), as client-go does; later ones have
        to be right.
        """
        kind = self.resource.kind
        query = {"limit": str(PAGE_SIZE), **({"resourceVersion": version} if version else {})}
        self._deliver([Change(Op.BEGIN, kind)])
        while True:
            said = self._read_list(query)
            if not said.continue_ or self._stopping.is_set():
                break
            query = {"limit": str(PAGE_SIZE), "continue": said.continue_}
        if self._stopping.is_set():
            return
        self.version = said.resource_version or ""
        self._list_due = self._monotonic() + self._consistency * self._chance(1.0, 1.5)
        self.is_synced, self._may_be_past = True, False
        self._counts.increment(metrics.LISTS, str(kind))
        self._heard()
        self._recovered()
        self._deliver([Change(Op.END, kind)])

    def _read_list(self, query: Mapping[str, str]) -> listing.Metadata:
        """One page, delivered as it comes in; what it says of itself."""
        page = self._open_list(query)
        for block in page:
            for at in range(0, len(block), PAGE_SIZE):
                if self._stopping.is_set():
                    break
                self._deliver([self._listed(item) for item in block[at : at + PAGE_SIZE]])
        return page.metadata

    def _open_list(self, query: Mapping[str, str]) -> listing.Listing:
        asked = {**self.resource.selector, **query}
        try:
            response = self._client.get(self.resource.path, asked, verb="LIST", timeout=api.LIST_TIMEOUT)
        except errors.ApiError as error:
            raise _as_gone(error) from error
        return listing.Listing(_octets(response))

    def _listed(self, item: msgspec.Raw) -> Change:
        """An object of a list; one that can't be read is reported and stays as it was."""
        try:
            return self._put(objects.decode(self.resource.kind, item))
        except errors.ManifestError as error:
            self._complain(str(error))
            head = _head(item)
            return Change(Op.KEEP, self.resource.kind, None, head.namespace or "", head.name or "")

    def _put(self, item: objects.AnyObject) -> Change:
        return Change(Op.PUT, self.resource.kind, item)

    # --- WATCH -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Events from the known version on, until the watch ends. Raises ApiError, also for one that ends at once."""
        started = self._monotonic()
        query = {
            **self.resource.selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(self._watch_seconds(started)),
        }
        try:
            response = self._client.get(self.resource.path, query, verb="WATCH", timeout=self._read_timeout)
        except errors.ApiError as error:
            raise _as_gone(error) from error
        self._response = response
        try:
            events = self._follow(response)
        finally:
            self._response = None
            response.close()
            if self._monotonic() - started > SETTLED_SECONDS:
                self._failures = 0
        if not events and self._monotonic() - started < BACKOFF_FIRST and not self._stopping.is_set():
            raise errors.ApiError("the watch ended at once", 0, "ended")

    def _watch_seconds(self, now: float) -> int:
        """How long the API server is to hold the watch: until the next list is due, at most."""
        return max(1, int(min(self._chance(*WATCH_SECONDS), self._list_due - now)))

    def _follow(self, response: urllib3.BaseHTTPResponse) -> int:
        """Deliver what a watch says, all whole lines of each read at once; how many events there were."""
        events = 0
        if self._stopping.is_set():
            return events  # `stop` came before there was a response to end
        for lines in _lines(response):
            if self._stopping.is_set():
                return events
            changes: list[Change] = []
            try:
                for line in lines:
                    changes += self._event(line)
                    events += 1
            finally:
                if changes:
                    self._deliver(changes)
            self._heard()
            if events and self._failures:
                self._recovered()
        return events

    def _event(self, line: bytes) -> list[Change]:
        """One event. Raises ApiError: it is no event, or says that the watch is over."""
        try:
            event = msgspec.json.decode(line, type=_Event)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise errors.ApiError(f"WATCH: a line is no event: {error}", 0, "malformed") from error
        self._counts.increment(metrics.EVENTS, str(self.resource.kind), _known_type(event.type))
        if event.type == "ERROR":
            raise _watch_error(event.object)
        head = _head(event.object)
        self._advance(event.type, head.resource_version or "")
        if event.type in ("ADDED", "MODIFIED"):
            return [self._listed(event.object)]
        if event.type == "DELETED":
            gone = Change(Op.GONE, self.resource.kind, None, head.namespace or "", head.name or "", head.uid or "")
            return [gone]
        if event.type != "BOOKMARK" and event.type not in self._said:
            self._said.add(event.type)
            self._complain(f"{self.resource.kind}: an event of unknown type {event.type[:40]!r} is left out")
        return []

    def _advance(self, event: str, version: str) -> None:
        """Remember how far we are. An object older than that is no news of this cluster: it went back in time."""
        if _is_older(version, self.version):
            if event in ("ADDED", "MODIFIED", "BOOKMARK") and self._monotonic() - self._probed_at >= PROBE_PAUSE:
                self._probed_at = self._monotonic()
                raise Gone(f"resourceVersion {version} after {self.version}", 410, "WentBack")
            return
        self.version = version or self.version


# --- helpers ---------------------------------------------------------------------------------------------------------


def _octets(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """A body as it comes; its connection is kept for the next request if it came whole."""
    try:
        yield from response.stream(READ_SIZE, decode_content=True)
        response.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise errors.ApiError(f"LIST was cut: {api.cause_of(error)}", 0, "cut") from error
    finally:
        response.close()


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[list[bytes]]:
    """Whole lines as they come, in batches. What stands behind the last line's end was cut off, and is dropped."""
    rest = b""
    while True:
        try:
            octets = response.read1(READ_SIZE, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise errors.ApiError("WATCH: silent for too long", 0, "silent") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise errors.ApiError(f"WATCH was cut: {api.cause_of(error)}", 0, "cut") from error
        if not octets:
            return
        *lines, rest = (rest + octets).split(b"\n")
        if len(rest) > LINE_MAX:
            raise errors.ApiError(f"WATCH: an event of more than {LINE_MAX} octets", 0, "malformed")
        whole = [line for line in lines if line.strip()]
        if whole:
            yield whole


def _head(item: msgspec.Raw) -> objects.Metadata:
    """Name and version of an object, whatever else is wrong with it."""
    try:
        return msgspec.json.decode(item, type=_Head).metadata or objects.Metadata()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return objects.Metadata()


def _known_type(event: str) -> str:
    return event if event in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR") else "other"


def _as_gone(error: errors.ApiError) -> errors.ApiError:
    """410, and what the API server says of a version that it doesn't have yet, end in a new list."""
    if error.status == 410 or error.reason in ("Expired", "Gone"):
        return Gone(str(error), error.status, error.reason, error.retry_after)
    return error


def _watch_error(item: msgspec.Raw) -> errors.ApiError:
    try:
        status = msgspec.json.decode(item, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return errors.ApiError(f"WATCH: an ERROR that can't be read: {error}", 0, "malformed")
    message = f"WATCH: {status.code} {status.reason}: {status.message}"
    return _as_gone(errors.ApiError(message, status.code or 0, status.reason or ""))


def _is_older(version: str, than: str) -> bool:
    """Versions are opaque, but every API server makes them numbers that grow; others are never older."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def plain_resources() -> list[Resource]:
    """What kube-dns watches."""
    return [
        Resource(Kind.SERVICES, "/api/v1/services"),
        Resource(Kind.ENDPOINTS, "/api/v1/endpoints"),
    ]


def resources(*, pods: bool, endpoints: bool, imports: bool, labels: str, namespace_labels: str) -> list[Resource]:
    """What has to be watched, with the selectors that the API server applies for us."""
    labelled = {"labelSelector": labels} if labels else {}
    named = {"labelSelector": namespace_labels} if namespace_labels else {}
    wanted = [
        Resource(Kind.NAMESPACES, "/api/v1/namespaces", named),
        Resource(Kind.SERVICES, "/api/v1/services", labelled),
    ]
    path = "/apis/discovery.k8s.io/v1/endpointslices"
    if endpoints:
        older = Resource(Kind.ENDPOINTS, "/api/v1/endpoints", labelled)
        wanted.append(Resource(Kind.ENDPOINTSLICES, path, labelled, instead=older))
    elif imports:
        imported = ",".join(filter(None, (labels, objects.IMPORT_NAME_LABEL)))
        wanted.append(Resource(Kind.ENDPOINTSLICES, path, {"labelSelector": imported}))
    if imports:
        # the namespaces' selector, as in CoreDNS
        wanted.append(Resource(Kind.SERVICEIMPORTS, "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports", named))
    if pods:
        living = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
        wanted.append(Resource(Kind.PODS, "/api/v1/pods", {**labelled, "fieldSelector": living}))
    return wanted
