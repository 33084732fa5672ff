"""Sockets to upstreams: on ports that the kernel chose, picked at random, replaced when worn; datagrams in batches."""
