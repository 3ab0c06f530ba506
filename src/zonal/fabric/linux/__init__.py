"""The only part of zonal that calls the kernel: system calls, network devices and routes, packet rules, processes.

`syscalls` are system calls that Python lacks. `namespaces` creates, keeps and enters network namespaces. `netlink` reads and changes
devices, addresses, routes and rules. `nftables` writes a `fabric.ruleset.Ruleset` in one transaction. `processes` identifies and watches
processes. `threads` runs work that changes its thread. No program is run for any of it: netlink needs a few dozen attribute numbers, and a
batch takes a tenth of the time that starting a program does.
"""
