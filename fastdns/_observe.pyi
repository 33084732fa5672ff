"""What is counted of an answer, and noted for the log. Knows nothing of how an answer comes about."""

from typing_extensions import disjoint_base

from fastdns._plan import Plan

@disjoint_base
class Observer(Plan):
    """Counts answers, and notes for Python what is to be logged."""
