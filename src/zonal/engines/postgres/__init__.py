"""PostgreSQL as a node: laid out, started, cloned, promoted and looked at.

`layout` knows the files, `configuration` what stands in them (`quoting` how), `accounts` the roles that RDS gives, `session` one bounded
connection to a server that may fall silent, `programs` the engine's own tools on a host, `eye` how a node is seen over the network, and
`server` puts them together into `engines.node.Node`.
"""
