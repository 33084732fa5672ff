import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest

from fastdns.dns import constants


@pytest.mark.parametrize("qtype", [one for one in constants.Type if one.name in dns.rdatatype.RdataType.__members__])
def test_types(qtype: constants.Type) -> None:
    assert dns.rdatatype.RdataType[qtype.name] == qtype


@pytest.mark.parametrize("rcode", [one for one in constants.Rcode if one.name in dns.rcode.Rcode.__members__])
def test_rcodes(rcode: constants.Rcode) -> None:
    assert dns.rcode.Rcode[rcode.name] == rcode


def test_classes_and_opcodes() -> None:
    for one in (constants.Class.IN, constants.Class.CH, constants.Class.HS, constants.Class.NONE, constants.Class.ANY):
        assert dns.rdataclass.RdataClass[one.name] == one
    for opcode in (constants.Opcode.QUERY, constants.Opcode.STATUS, constants.Opcode.NOTIFY, constants.Opcode.UPDATE):
        assert dns.opcode.Opcode[opcode.name] == opcode
