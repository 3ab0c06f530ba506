"""PostgreSQL as a node: laid out, started, cloned, promoted and looked at.

`layout` knows the files, `configuration` what stands in them (`literals` how), `accounts` the roles that RDS gives, `session` one bounded
connection to a server that may fall silent, `commands` the engine's own tools on a host, `probe` how a node is seen over the network, and
`server` puts them together into `engines.node.Node`.
"""
