"""One plugin's names: a trie of them, changed by deltas, replaced by snapshots.

A delta is a run of operations. Integers in network order; names canonical (lower case), uncompressed, with root.

    operation
      1 PUT      name  u32 size  data      what the name holds from now on, in place of what it held
      2 REMOVE   name                      the name holds nothing any more
      3 ZONE     name  u16 flags  u16 positive  u16 nodata  u16 nxdomain  u32 soa_ttl  u16 size  soa
      4 SERIAL   u32                       the serial of every zone's SOA
      5 SYNCED   u8                        0: an NXDOMAIN becomes SERVFAIL, since the list isn't complete; 1: it stays
      6 PRIMARY  name                      the zone that PRIMARY record data end in

    zone flags   1 ENT_NODATA      an empty non-terminal is NODATA (RFC 8020); else NXDOMAIN, as in CoreDNS's kubernetes
                 2 SOA_APEX_ONLY   SOA below the apex is NODATA without looking the name up
                 4 NO_SOA          negative answers carry no SOA (hosts)
                 8 MISS_SERVFAIL   a name that isn't there is SERVFAIL (hosts)
                16 WILDCARD_ONE_LABEL  a `*` stands for one label only (hosts)
                32 NS_APEX_ONLY    NS below the apex is NODATA without looking the name up (kube-dns)
                64 STARS           a name with a label `*` in it that isn't there is Python's to answer (kube-dns)
               128 PARTIAL         a truncated answer holds the records that fit, and fills no message whole (kube-dns)
               512 OWN_SPELLING    the zone's name is spelt as here, not as in the question (kube-dns)
              1024 SRV_GLUE        SRV and MX bring their targets' addresses along (kube-dns, dnsmasq)
              2048 STAR_ENDINGS    a label `*END` stands for every label that ends so, with all below it (dnsmasq)
               256 MISS_PASSES     a name or a type that isn't there is the next step's; every type follows a CNAME, which
                                   goes alone if it leads to nothing (dnsmasq)
    positive, nodata, nxdomain     header flags (AA, RA) of each outcome
    soa          a record data in ZONED form without its serial: prefix of mname, prefix of rname (labels without root,
                 each preceded by u8 size; the zone's name follows each), then u32 refresh, retry, expire, minimum

    data         u16 flags  u8 count  set*
    data flags   1 TXT_NXDOMAIN    type TXT is NXDOMAIN here, other absent types NODATA
                 2 ONLY_THESE      absent types are NXDOMAIN, not NODATA
                64 PTR_NXDOMAIN    types PTR and ANY are NXDOMAIN here
                 4 POD_ADDRESSES   one label below (and up to two more) that spells an IP address is a pod: A or AAAA
                 8 CNAME_NXDOMAIN  type CNAME is NXDOMAIN here
                16 IN_PYTHON       A, AAAA and SRV that stand in no set are Python's to answer; with POD_ADDRESSES: names
                                   two labels below
                32 ENTRY           for NameTable.entries: the name is an entry of the one above, not a node with entries
               128 ANY_TYPE        every type is answered with the first set
               256 ALIVE           for NameTable.holds: a Service that has endpoints
               512 HIDDEN          the name isn't there for questions, but its addresses are for glue
              1024 NAMELESS        what it holds makes no known name of it: an upstream may deny it (dnsmasq)
    set          u16 type  u8 form  u32 ttl  u16 count  u32 size  octets
    form         0 FIXED     count record data of equal size (A, AAAA)
                 1 WHOLE     count times: u16 size, record data with whole, uncompressed names
                 2 ZONED     count times: u16 size, record data that ends in a name without its zone, which follows as
                             the question spells it
                 3 PRIMARY   as ZONED, and the PRIMARY zone follows
                 4 SERVICE   a Service's addresses, ports and endpoints: A, AAAA and SRV of it and of names below it.
                             type is SRV (33), count is 0
    SERVICE      u8 size  labels             the Service's name below its zone (`name.ns.svc` as labels, no root)
                 u8 flags                    1 HEADLESS: the Service's own answers come from its endpoint groups
                                         2 POD: a pod, named after its address (port 0, no names); one or two labels
                                           before it change nothing. `a-b-c-d.ns.pod` with `pods verified`
                                         4 ZONES: names below are `ZONE.pin` and `ZONE.prefer`, the block's own has
                                           nothing. `_zone.name.ns.svc` with `zonal`
                                         8 CLUSTERS: endpoints' names are `endpoint.cluster`. A ServiceImport
                 u16 count  group*           groups of the Service itself (one, of its cluster IPs; none if headless)
                 u16 count  group*           groups of endpoints, one for each EndpointSlice
    group        [place]  u8 count  port*  u32 count  address*
    place        u8 size  labels             only of endpoints, and only with ZONES (the zone; none: empty) or CLUSTERS
    port         u16 number  u8 size name  u8 size protocol     lower case; 65535 and both empty: a group without ports
    address      u8 family (4, 6)  4 or 16 octets  u8 size label    the endpoint's name, as it stands; empty with IPv4:
                                             the address with dashes; always empty in the Service's own groups
"""

from fastdns._trie cimport Table

cpdef enum Operation:
    PUT = 1
    REMOVE = 2
    ZONE = 3
    SERIAL = 4
    SYNCED = 5
    PRIMARY = 6

cdef class NameTable:
    cdef Table* live        # owned; what queries see
    cdef Table* fresh       # owned; the snapshot being filled, or NULL
    cdef Table* retired     # owned; the replaced table, freed in steps, or NULL
