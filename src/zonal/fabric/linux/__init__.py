"""The only part of zonal that touches the kernel: system calls, network devices and routes, packet rules, processes.

`syscalls` are the system calls Python lacks; `namespaces` makes, keeps and enters network namespaces; `netlink` speaks to the kernel about
devices, addresses, routes and rules; `nftables` writes a `fabric.ruleset.Ruleset` in one transaction; `processes` watches them;
`threads` runs what changes the thread it runs in. No program is needed for any of it: netlink is a few dozen attribute numbers, and a
batch of it takes a tenth of the time of a program's start.
"""
