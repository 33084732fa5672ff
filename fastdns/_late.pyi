"""Answers that come later: parked queries get what upstreams replied, a stale answer, or a failure."""

from fastdns._answer import Answerer

class LateAnswerer(Answerer):
    """Gives parked queries their answers; Engine is its face to Python."""
