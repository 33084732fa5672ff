"""What a cluster's DNS server must answer: a world, questions and answers as data, and a runner for any server.

A folder has world.yaml (manifests), a Corefile and *.cases. A case begins with `? NAME TYPE`; then `= RCODE FLAG...`; then its
records, one a line, by section: answer as they stand, authority after `!`, additional after `+`. `soa` is the zone's SOA with any
serial. A line `# SOURCE` before cases says where they are from. Records are compared as sets, TTLs too.
"""
