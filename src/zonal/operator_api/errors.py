"""The error of a request that needs the region's networks before they are built."""

from __future__ import annotations

from zonal.foundation.errors import ZonalError


class RegionNotReady(ZonalError):
    """The region's networks are still being built."""

    def __init__(self) -> None:
        super().__init__("the region is still building its networks; try again in a moment")
