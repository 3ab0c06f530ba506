"""The operator API: what the owner of a region may read and do beyond what AWS offers its customers.

`server` serves HTTP with JSON on a unix socket in the state directory (mode 0600) and dispatches to `routes`: status, journal, faults of
zones and nodes, hosts for commands. Behind the routes are `zone_faults`, `database_view`, `exec_hosts` and `journal_history`. `schemas` are
the bodies of requests and responses. `client` is used by the command line and the drills. To try it:
`curl --unix-socket STATE/operator.sock http://zonal/status`.

Imports services, control and the fabric; does not import the gateway or the drills.
"""
