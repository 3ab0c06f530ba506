"""The engines behind AWS's API, such as PostgreSQL.

`registry` has one row for each engine. `engine_store` installs versions from the sources in `distributions`. `node` is the protocol that
control uses: create, start, probe, clone, promote; `options` are the options and secrets that an engine declares. Each engine's package
(`postgres`) implements the protocol with the engine's own programs on a host, and decides nothing.

Engines do not import each other. Imports `fabric`, `records` and `foundation` only.
"""
