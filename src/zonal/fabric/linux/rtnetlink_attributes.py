"""The numbers of rtnetlink's attributes, by the kernel's names.

They are those of `linux/if_link.h`, `if_addr.h`, `neighbour.h`, `rtnetlink.h`, `fib_rules.h`, `pkt_sched.h` and `veth.h`.
"""

from __future__ import annotations

from typing import Final

IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_LINKINFO: Final = 18
IFLA_NET_NS_FD: Final = 28
IFLA_INFO_KIND: Final = 1
IFLA_INFO_DATA: Final = 2
VETH_INFO_PEER: Final = 1

IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_FLAGS: Final = 8

NDA_DST: Final = 1
NDA_LLADDR: Final = 2

RTA_DST: Final = 1
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RTA_PRIORITY: Final = 6
RTA_PREFSRC: Final = 7
RTA_TABLE: Final = 15

FRA_SRC: Final = 2
FRA_IIFNAME: Final = 3
FRA_PRIORITY: Final = 6
FRA_TABLE: Final = 15

TCA_KIND: Final = 1
TCA_OPTIONS: Final = 2
TCA_NETEM_LATENCY64: Final = 10
