"""The cluster: its API, its objects, and the names that they make."""
