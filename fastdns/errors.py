"""Every exception that a user or another package can see."""


class FastdnsError(Exception):
    """The root: a message made for an operator to read."""


class ConfigError(FastdnsError):
    """A configuration that can't be served: `FILE:LINE - Error during parsing: WHAT`, as CoreDNS says it.

    `kind` is the other beginning that CoreDNS has, "Syntax error", where it expects one certain word.
    """

    def __init__(self, file: str, line: int, message: str, *, kind: str = "Error during parsing") -> None:
        super().__init__(f"{file}:{line} - {kind}: {message}")
        self.file = file
        self.line = line
        self.message = message


class SettingError(FastdnsError):
    """A key of kube-dns's ConfigMap that can't be used: `KEY: WHAT`."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class FolderError(FastdnsError):
    """A folder of configuration files that can't be read: names the file, and why."""


class DnsmasqError(ConfigError):
    """A command line or file of dnsmasq that can't be served, in dnsmasq's words. `status` is its exit status."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, status: int = 1) -> None:
        FastdnsError.__init__(self, f"dnsmasq: {message}")
        self.file = file
        self.line = line
        self.message = message
        self.status = status


class ManifestError(FastdnsError):
    """A manifest or an object that makes no sense: names the file or the object, and the field."""


class ApiError(FastdnsError):
    """The API server refused a request or could not be reached: `status` is the HTTP status, 0 without one.

    `retry_after` is how many seconds it asks us to wait, 0 if it doesn't.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class FrameError(FastdnsError):
    """Octets between two of our processes that are no frame: a bug, or a peer that died half-way."""


class TableError(FastdnsError):
    """A delta that the name table refuses: says the operation and its offset."""


class ListenError(FastdnsError):
    """An address that can't be listened on: names it, and why."""


class UpstreamError(FastdnsError):
    """An upstream that gave no usable answer: names it, and why. `rcode` is what the client is owed."""

    def __init__(self, message: str, *, rcode: int = 2) -> None:
        super().__init__(message)
        self.rcode = rcode


class NodeError(FastdnsError):
    """A part of a node's set-up that failed; `kind` is the label errortype of node-cache's metric."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
