"""The operator's side: what the person who owns the region may see and do, beyond what AWS offers its customers.

`server` answers HTTP with JSON on a unix socket in the state directory (mode 0600); `routes` holds the actions behind it: status, pulling
and returning zones, the journal, preparing commands to run inside. `schemas` are the answers; `client` is how the command line and the
drills reach the door. Try it with `curl --unix-socket STATE/operator.sock http://zonal/status`.

Imports services, control and fabric; knows neither the gateway nor the drills.
"""
