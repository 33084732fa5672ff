"""The name table: a trie over labels from the root down; every node's children in a small hash table.

A look-up walks the question's labels from the right, one probe each, and so finds the zone, the name, or the deepest
node on the way to it in one pass. Growing touches one node's children only: no pause grows with the table.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from fastdns._packet cimport KEY_ROOM, LABELS_MAX, copy_key
from fastdns._prefetch cimport CACHE_LINE, fetch_ahead
from fastdns._rrset cimport data_size


# --- hashing --------------------------------------------------------------------------------------------------------

cdef extern from * nogil:
    """
    static inline uint64_t fastdns_fold(uint64_t left, uint64_t right) {
        __uint128_t product = (__uint128_t)left * right;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define fastdns_first_of(word, count) ((word) & (UINT64_MAX << (64 - 8 * (count))))
    #else
    #define fastdns_first_of(word, count) ((word) & (UINT64_MAX >> (64 - 8 * (count))))
    #endif
    """
    uint64_t _fold "fastdns_fold" (uint64_t left, uint64_t right)       # both halves of the product, one over the other
    uint64_t _first_of "fastdns_first_of" (uint64_t word, size_t count)     # its first 1..8 octets, zeros behind them


cdef inline uint64_t _load_eight(const uint8_t* octets) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, octets, 8)
    return word


cdef inline uint64_t _load_word(const uint8_t* octets, size_t size) noexcept nogil:
    """The first of `size` octets (at least one) as a word, zeros behind them. Eight are read however few they are."""
    return _first_of(_load_eight(octets), min(size, <size_t>8))


cdef inline uint64_t _head_of(const uint8_t* label) noexcept nogil:
    """A label's first word, its length octet in it: all of a short label."""
    return _load_word(label, <size_t>label[0] + 1)


cdef inline uint32_t _hash_label(uint64_t seed, const uint8_t* label, uint64_t head) noexcept nogil:
    """Hash a label, a word a step; seeded, so that nobody can choose colliding names."""
    cdef uint64_t value = _fold(head ^ seed, 0x9E3779B97F4A7C15u)
    cdef size_t size = <size_t>label[0] + 1
    cdef size_t at = 8
    while at < size:
        value = _fold(value ^ _load_word(label + at, size - at), 0xC4CEB9FE1A85EC53u)
        at += 8
    return <uint32_t>value


# --- nodes ----------------------------------------------------------------------------------------------------------

cdef inline size_t _size_of(uint8_t label_len) noexcept nogil:
    """Octets of a node: its label is kept in whole words, with zeros behind it."""
    return sizeof(Node) + ((<size_t>label_len + 8) & ~<size_t>7)


cdef inline bint _has_label(const Node* node, const uint8_t* label, uint64_t head) noexcept nogil:
    cdef const uint8_t* own = label_of(node)
    cdef size_t size = <size_t>label[0] + 1
    cdef size_t at = 8
    if _load_eight(own) != head:
        return False
    while at < size:
        if _load_eight(own + at) != _load_word(label + at, size - at):
            return False
        at += 8
    return True


cdef inline const Node* _probe(const Node* node, const uint8_t* label, uint64_t head, uint32_t hash) noexcept nogil:
    cdef uint32_t mask = node.child_capacity - 1
    cdef uint32_t slot = hash & mask
    cdef uint32_t left = node.child_capacity
    cdef const Child* child
    while left:
        left -= 1
        child = &node.children[slot]
        if child.node == NULL:
            return NULL
        if child.hash == hash and _has_label(child.node, label, head):
            return child.node
        slot = (slot + 1) & mask
    return NULL


cdef const Node* find_child(const Table* table, const Node* node, const uint8_t* label) noexcept nogil:
    """The child with this canonical label (length octet first), or NULL."""
    cdef uint64_t head
    if node.child_count == 0:
        return NULL
    head = _head_of(label)
    return _probe(node, label, head, _hash_label(table.hash_seed, label, head))


cdef Node* _new_node(Table* table, const uint8_t* label) noexcept nogil:
    cdef size_t size = _size_of(label[0])
    cdef Node* node = <Node*>calloc(1, size)
    if node == NULL:
        return NULL
    memcpy(label_of(node), label, <size_t>label[0] + 1)
    table.nodes += 1
    table.octets += size
    return node


cdef void _place(Child* children, uint32_t capacity, Node* node, uint32_t hash) noexcept nogil:
    cdef uint32_t slot = hash & (capacity - 1)
    while children[slot].node != NULL:
        slot = (slot + 1) & (capacity - 1)
    children[slot].node = node
    children[slot].hash = hash


cdef bint _resize(Table* table, Node* node, uint32_t capacity) noexcept nogil:
    """Give a node's children another capacity. False: out of memory, and nothing changed."""
    cdef Child* children = <Child*>calloc(capacity, sizeof(Child))
    cdef uint32_t slot
    if children == NULL:
        return False
    for slot in range(node.child_capacity):
        if node.children[slot].node != NULL:
            _place(children, capacity, node.children[slot].node, node.children[slot].hash)
    free(node.children)
    table.octets += (<size_t>capacity - node.child_capacity) * sizeof(Child)
    node.children = children
    node.child_capacity = capacity
    return True


cdef Node* _add_child(Table* table, Node* node, const uint8_t* label) noexcept nogil:
    """The child with this label, made if it isn't there. NULL: out of memory."""
    cdef uint64_t head = _head_of(label)
    cdef uint32_t hash = _hash_label(table.hash_seed, label, head)
    cdef Node* child
    if node.child_count:
        child = <Node*>_probe(node, label, head, hash)
        if child != NULL:
            return child
    # Full up to 3/4, but for the smallest: most nodes have one child or two.
    if node.child_count >= node.child_capacity - (node.child_capacity >> 2):
        if not _resize(table, node, node.child_capacity * 2 if node.child_capacity else 1):
            return NULL
    child = _new_node(table, label)
    if child != NULL:
        _place(node.children, node.child_capacity, child, hash)
        node.child_count += 1
    return child


cdef void _remove_child(Table* table, Node* node, Node* child) noexcept nogil:
    """Free a child without children of its own, and close the gap in the probe sequence."""
    cdef uint32_t mask = node.child_capacity - 1
    cdef uint8_t* label = label_of(child)
    cdef uint32_t hole = _hash_label(table.hash_seed, label, _head_of(label)) & mask
    cdef uint32_t slot
    while node.children[hole].node != child:
        hole = (hole + 1) & mask
    node.children[hole].node = NULL
    slot = (hole + 1) & mask
    while node.children[slot].node != NULL and slot != hole:
        if ((slot - node.children[slot].hash) & mask) >= ((slot - hole) & mask):
            node.children[hole] = node.children[slot]
            node.children[slot].node = NULL
            hole = slot
        slot = (slot + 1) & mask
    node.child_count -= 1
    _free_node(table, child)
    if node.child_count == 0:
        table.octets -= node.child_capacity * sizeof(Child)
        free(node.children)
        node.children = NULL
        node.child_capacity = 0


cdef void free_data(Table* table, Node* node) noexcept nogil:
    if node.data != NULL:
        table.octets -= data_size(node.data)
        table.names -= 1
        free(node.data)
        node.data = NULL


cdef void _free_node(Table* table, Node* node) noexcept nogil:
    free_data(table, node)
    table.nodes -= 1
    table.octets -= _size_of(node.label_len) + node.child_capacity * sizeof(Child)
    free(node.children)
    free(node)


# --- tables ---------------------------------------------------------------------------------------------------------

cdef Table* new_table(uint64_t seed) noexcept nogil:
    cdef uint8_t root_label[8]
    cdef Table* table = <Table*>calloc(1, sizeof(Table))
    if table == NULL:
        return NULL
    table.hash_seed = seed
    table.primary_len = 1
    memset(root_label, 0, sizeof(root_label))
    table.root = _new_node(table, root_label)
    if table.root == NULL:
        free(table)
        return NULL
    return table


cdef bint free_some(Table* table, uint32_t budget) noexcept nogil:
    """Free up to `budget` nodes of a table that nobody reads any more, leaves first. True: all is freed, `table` too.
    """
    cdef Node* parent
    cdef Node* node
    cdef Child* last
    while budget:
        budget -= 1
        parent = NULL
        node = table.root
        while node.child_capacity:
            last = &node.children[node.child_capacity - 1]
            if last.node == NULL:
                node.child_capacity -= 1            # the capacity is the cursor: nobody looks anything up here any more
                continue
            parent = node
            node = last.node
        free(node.children)
        free(node.data)
        free(node)
        if parent == NULL:
            free(table.zones)
            free(table)
            return True
        parent.children[parent.child_capacity - 1].node = NULL
    return False


cdef void free_all(Table* table) noexcept nogil:
    if table != NULL:
        while not free_some(table, 1 << 20):
            pass


cdef Node* path_to(Table* table, const uint8_t* name, Node** path, uint8_t* depth, bint make) noexcept nogil:
    """The name's node, and in `path` its ancestors from the root. NULL: not there, or (make) out of memory."""
    cdef uint8_t name_key[KEY_ROOM]
    cdef uint8_t label_at[LABELS_MAX]
    cdef uint8_t count = copy_key(name, name_key, label_at)
    cdef Node* node = table.root
    depth[0] = 0
    while count:
        count -= 1
        path[depth[0]] = node
        depth[0] += 1
        if make:
            node = _add_child(table, node, name_key + label_at[count])
        else:
            node = <Node*>find_child(table, node, name_key + label_at[count])
        if node == NULL:
            return NULL
    return node


cdef void prune(Table* table, Node* node, Node** path, uint8_t depth) noexcept nogil:
    """Free a node that holds nothing and has nothing below it, and then its parents likewise."""
    while depth and node.data == NULL and node.child_count == 0 and node.zone == 0:
        depth -= 1
        _remove_child(table, path[depth], node)
        node = path[depth]


cdef Zone* zone_at(Table* table, Node* node) noexcept nogil:
    """The zone whose apex the node is, made if it is none yet. NULL: out of memory."""
    cdef Zone* zones
    if node.zone == 0:
        zones = <Zone*>realloc(table.zones, (table.zone_count + 1) * sizeof(Zone))
        if zones == NULL:
            return NULL
        table.zones = zones
        memset(&zones[table.zone_count], 0, sizeof(Zone))
        table.zone_count += 1
        node.zone = table.zone_count
    return &table.zones[node.zone - 1]


# --- looking up -----------------------------------------------------------------------------------------------------
#
# A look-up is a chain of addresses that each must be read to know the next one: the child's slot, the child, what it
# holds. Memory is slow and takes several requests at a time, so the look-ups of a batch go side by side: all start,
# then all fetch their child, then their data, then end. The upper levels are few nodes, which caches keep.

cdef void start_walk(const Table* table, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                     Walk* walk) noexcept nogil:
    """Walk a canonical name from the root down to its first label; ask for the slot that has the last step."""
    cdef const Node* node = table.root
    cdef const Node* above = NULL
    cdef const Node* child
    cdef const uint8_t* label
    cdef uint64_t head = 0
    cdef uint32_t hash = 0
    cdef uint16_t zone = node.zone
    cdef uint8_t zone_left = label_count
    cdef uint8_t left = label_count
    walk.child = NULL
    walk.has_hash = False
    while left and node.child_count:
        label = name_key + label_at[left - 1]
        head = _head_of(label)
        hash = _hash_label(table.hash_seed, label, head)
        if left == 1:
            walk.has_hash = True
            fetch_ahead(&node.children[hash & (node.child_capacity - 1)])
            break
        child = _probe(node, label, head, hash)
        if child == NULL:
            break
        left -= 1
        above = node
        node = child
        if child.zone:
            zone = child.zone
            zone_left = left
    walk.table = table
    walk.node = node
    walk.above = above
    walk.head = head
    walk.hash = hash
    walk.left = left
    walk.zone = zone
    walk.zone_left = zone_left


cdef void fetch_child(Walk* walk) noexcept nogil:
    """Ask for the node that the last step most likely leads to: the first with the label's hash."""
    cdef uint32_t mask, slot, left
    if not walk.has_hash:
        return
    left = walk.node.child_capacity
    mask = left - 1
    slot = walk.hash & mask
    while left and walk.node.children[slot].node != NULL and walk.node.children[slot].hash != walk.hash:
        slot = (slot + 1) & mask
        left -= 1
    walk.child = walk.node.children[slot].node
    fetch_ahead(walk.child)


cdef void fetch_data(const Walk* walk) noexcept nogil:
    """Ask for what that node holds: its head and the octets behind."""
    if walk.child != NULL and walk.child.data != NULL:
        fetch_ahead(walk.child.data)
        fetch_ahead(<const uint8_t*>walk.child.data + CACHE_LINE)


cdef void end_walk(const Walk* walk, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                   Match* match) noexcept nogil:
    """Take the last step, if there is one, and say what was found."""
    cdef const Node* child = NULL
    cdef uint16_t zone = walk.zone
    cdef uint8_t zone_left = walk.zone_left
    match.node = walk.node
    match.above = walk.above
    match.remaining = walk.left
    if walk.child != NULL and _has_label(walk.child, name_key + label_at[0], walk.head):
        child = walk.child
    elif walk.has_hash:
        child = _probe(walk.node, name_key + label_at[0], walk.head, walk.hash)
    if child != NULL:
        match.above = walk.node
        match.node = child
        match.remaining = 0
        if child.zone:
            zone = child.zone
            zone_left = 0
    match.zone = &walk.table.zones[zone - 1] if zone else NULL
    match.zone_at = 0
    if zone_left == label_count and label_count:        # the root's own zone: its name is the last octet
        match.zone_at = <uint16_t>(label_at[label_count - 1] + name_key[label_at[label_count - 1]] + 1)
    elif label_count:
        match.zone_at = label_at[zone_left]


cdef void find_name(const Table* table, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                    Match* match) noexcept nogil:
    """Walk a canonical name from the root as far as there are nodes."""
    cdef Walk walk
    start_walk(table, name_key, label_at, label_count, &walk)
    end_walk(&walk, name_key, label_at, label_count, match)
