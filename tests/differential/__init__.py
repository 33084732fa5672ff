"""fastdns beside CoreDNS: the same API server, the same Corefile, the same upstream, the same questions, answers compared.

world makes a random cluster and changes it, questions makes random questions about it, variants are the Corefiles, compare
tells two answers apart, differences.toml holds what may differ and why. A run is repeated by its seed:
FASTDNS_SEED=N (default 1) and FASTDNS_QUESTIONS=N per variant.
"""
