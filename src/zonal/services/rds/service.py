"""RDS as the region sees it: every operation that is built, by name, and what a start of the region means for DB instances."""

from __future__ import annotations

from msgspec.structs import replace

from zonal.records.store import Store, Transaction
from zonal.services.common.blank_parameters import without_blanks
from zonal.services.common.subnet_groups import IsLost
from zonal.services.operation import Handler, handlers
from zonal.services.rds import events, lifecycle
from zonal.services.rds.account_attributes import AccountAttributes
from zonal.services.rds.certificates import CertificateIssuer, Certificates
from zonal.services.rds.creation import Creation
from zonal.services.rds.db_instance_description import IsStorageFull
from zonal.services.rds.db_instances import DbInstances
from zonal.services.rds.engine_versions import Engines, EngineVersionCatalog, EngineVersions
from zonal.services.rds.events import Events
from zonal.services.rds.logs import Logs
from zonal.services.rds.model import DbInstance
from zonal.services.rds.modification import Modification
from zonal.services.rds.subnet_groups import SubnetGroups
from zonal.services.rds.tags import RdsTags


def operations(
    store: Store,
    engines: Engines,
    authority: CertificateIssuer,
    *,
    is_lost: IsLost,
    logs: Logs,
    is_storage_full: IsStorageFull = lambda id: False,
) -> dict[str, Handler]:
    """The handler of each operation that is built; the gateway answers 501 for any other.

    `is_lost` says whether a zone, by name, is lost now; `is_storage_full` whether the disk of an instance, by its resource id, is full.
    `logs` gets its nodes when the region has found its hosts.
    """
    catalog = EngineVersionCatalog(engines)
    built = handlers(
        SubnetGroups(),
        Creation(catalog, authority, is_lost),
        DbInstances(is_storage_full),
        Modification(catalog, is_lost),
        EngineVersions(catalog),
        Events(store),
        logs,
        RdsTags(),
        Certificates(authority),
        AccountAttributes(),
    )
    return without_blanks("rds", built)


def start_instances(transaction: Transaction) -> None:
    """No engine runs: what was `available` is `starting` until it answers. Any other status ends as it would have."""
    for instance in transaction.select(DbInstance):
        if instance.status == lifecycle.AVAILABLE:
            events.note(transaction, instance.identifier, 4)
            transaction.put(replace(instance, status=lifecycle.LIFECYCLE.next(instance.status, "region-start")))
