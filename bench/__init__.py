"""Every figure that README claims: servers side by side, on one machine, in one run, as ratios to a floor.

`python -m bench` measures; `_floor` is what no server can beat, `_load` asks, `fake_api` is the cluster. Nothing
in here is part of the package: it is built by its own setup.py and never shipped.
"""
