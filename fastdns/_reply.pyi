"""A reply of an upstream: compared with its question, stripped of what was not asked, and written anew for keeping."""
