"""The fabric: the sandbox, zones that can fail, networks, hosts, the firewall and DNS, made of Linux namespaces.

`plan` holds the desired state as the layers above describe it, and `host_interface` the protocols of hosts that they need; both are pure.
`fabric.Fabric` takes plans and makes the kernel match them, idempotently: `vpc_networks`, `firewall` and `management` compile a plan into
addresses, routes and packet rules, `networks` and `network_state` apply them, `hosts` powers hosts on and off, `impairments` injects zone
faults. `sandbox`, `init` and `listener_broker` are the processes around the region. Only the package `linux` calls the kernel.

Imports `foundation` alone; knows neither AWS operations nor records nor engines.
"""
