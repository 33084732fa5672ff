"""Timers on a wheel: each is known by its index, and fires at its time or up to a tick later."""
