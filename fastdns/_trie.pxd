"""The name table: a trie over labels from the root down; every node's children in a small hash table.

A delta is a run of operations. Integers in network order, names canonical (lower case), uncompressed, with the root label.

    operation
      1 PUT      name  u32 size  data      what the name holds from now on, in place of what it held
      2 REMOVE   name                      the name holds nothing any more
      3 ZONE     name  u16 flags  u16 positive  u16 nodata  u16 nxdomain  u32 soa_ttl  u16 size  soa
      4 SERIAL   u32                       the serial of every zone's SOA
      5 SYNCED   u8                        0: an NXDOMAIN becomes SERVFAIL, since the list isn't complete; 1: it stays
      6 PRIMARY  name                      the zone that PRIMARY record data end in

    zone flags   1 ENT_NODATA      an empty non-terminal is NODATA (RFC 8020); else NXDOMAIN, as CoreDNS's kubernetes does
                 2 SOA_APEX_ONLY   SOA below the apex is NODATA without looking the name up
                 4 NO_SOA          negative answers carry no SOA (hosts)
                 8 MISS_SERVFAIL   a name that isn't there is SERVFAIL (hosts)
                16 NO_NODATA_PASS  NODATA goes to the next plugin too (unused by CoreDNS's dialects)
    positive, nodata, nxdomain     header flags (AA, RA) of each outcome
    soa          a record data in ZONED form without its serial: prefix of mname, prefix of rname (labels without root,
                 each preceded by u8 size; the zone's name follows each), then u32 refresh, retry, expire, minimum

    data         u16 flags  u8 count  set*
    data flags   1 TXT_NXDOMAIN    type TXT is NXDOMAIN here, other absent types NODATA
                 2 ONLY_THESE      absent types are NXDOMAIN, not NODATA
                 4 POD_ADDRESSES   one label below (and up to two more) that spells an IP address is a pod: A or AAAA
    set          u16 type  u8 form  u32 ttl  u16 count  u32 size  octets
    form         0 FIXED     count record data of equal size (A, AAAA)
                 1 WHOLE     count times: u16 size, record data with whole, uncompressed names
                 2 ZONED     count times: u16 size, record data that ends in a name without its zone: the zone follows, as the
                             question spells it
                 3 PRIMARY   as ZONED, and the PRIMARY zone follows
                 4 SERVICE   a Service's addresses, ports and endpoints: A, AAAA and SRV of it and of names below it.
                             type is SRV (33), count is 0
    SERVICE      u8 size  labels             the Service's name below its zone (`name.ns.svc` as labels, no root)
                 u8 flags                    1 HEADLESS: the Service's own answers come from its endpoint groups
                 u16 count  group*           groups of the Service itself (one, of its cluster IPs; none if headless)
                 u16 count  group*           groups of endpoints, one for each EndpointSlice
    group        u8 count  port*  u32 count  address*
    port         u16 number  u8 size name  u8 size protocol     lower case; number 65535 and both empty: a group without ports
    address      u8 family (4, 6)  4 or 16 octets  u8 size label    the endpoint's name as it stands; empty with family 4: the
                                             address with dashes; always empty in the Service's own groups
"""
