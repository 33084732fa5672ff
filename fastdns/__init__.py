"""The DNS server of a Kubernetes cluster."""

__version__ = "0.1.0"
