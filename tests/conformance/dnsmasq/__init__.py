"""dnsmasq's command line, asked of fastdns and of the real dnsmasq: cases.json says what comes of each question.

`python -m tests.conformance.dnsmasq.record` asks the real dnsmasq, and writes what it answers into the file.
"""
