"""What an engine's nodes need beyond what every node has: options, which anybody may read, and secrets.

Each engine declares two structs of its own (`engines.postgres.options`) and names them in its row of `engines.registry`. A service writes
their members as JSON into the deployment's records without importing the engine; `registry.EngineDefinition` converts them. Control passes
them on and knows none of their members.
"""

from __future__ import annotations

import msgspec


class EngineOptions(msgspec.Struct, frozen=True):
    """Options of an engine without any; the base of all others."""


class EngineSecrets(msgspec.Struct, frozen=True):
    """What a node needs and no log may hold; the base of each engine's secrets. `repr` hides every member."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
