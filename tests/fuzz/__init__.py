"""Fuzz targets: one module fuzz_NAME.py for each reader of foreign octets, with `SEEDS` and `run(data)`.

`run` lets through what its reader promises to raise and returns something hashable that tells outcomes apart (or None): inputs
with a new outcome are kept and mutated further. Anything else that is raised, and any report of a sanitizer, is a finding: its
input is written to tests/fuzz/corpus/NAME/, where it is a seed from then on. `make fuzz` builds with AddressSanitizer and
UndefinedBehaviorSanitizer and runs each target for some time; the tests run all seeds and some mutations in the ordinary build.
"""
