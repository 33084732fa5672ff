"""Every figure that README claims: servers side by side, on one machine, in one run, as ratios to a floor.

`python -m bench` measures (`make bench` builds first): `scenarios` and `catalogue` say what is asked of whom, `servers`
how each one is set up, `pod` how kube-dns's Pod is, `measure` and its neighbours run it; `results`, `budgets.toml`,
`report` and `chart` tell. `_floor` is what no server can beat, `_load` asks, `fake_api` is the cluster, `upstream` what is
outside of it. `keep` and `bounds.toml` are CI's guard. Nothing in here is part of the package: it is built by its own
setup.py and never shipped.
"""
