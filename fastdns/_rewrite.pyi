"""A reply of an upstream, written anew: the records that are kept, names compressed, the offsets of TTLs listed."""
