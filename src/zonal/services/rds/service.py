"""The service `rds`: its operations by name, its reconciler, the owner of its deployments, and the start of its DB instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from zonal.control.reconciler import Reconciler
from zonal.records.store import Store, Transaction
from zonal.services.common.blank_parameters import without_blanks
from zonal.services.common.subnet_groups import IsLost
from zonal.services.operation import Handler, handlers
from zonal.services.rds import deployment_owner, events, lifecycle
from zonal.services.rds.account_attributes import AccountAttributes
from zonal.services.rds.certificates import CertificateIssuer, Certificates
from zonal.services.rds.creation import Creation
from zonal.services.rds.db_instance_description import IsStorageFull
from zonal.services.rds.db_instance_reconciler import DbInstanceReconciler
from zonal.services.rds.db_instances import DbInstances
from zonal.services.rds.endpoints import Endpoints
from zonal.services.rds.engine_versions import Engines, EngineVersionCatalog, EngineVersions
from zonal.services.rds.events import Events
from zonal.services.rds.logs import Logs, NodeLookup
from zonal.services.rds.model import DbInstance
from zonal.services.rds.modification import Modification
from zonal.services.rds.subnet_groups import SubnetGroups
from zonal.services.rds.tags import RdsTags
from zonal.services.service import Runtime, Service


def rds(
    store: Store,
    engines: Engines,
    authority: CertificateIssuer,
    *,
    is_lost: IsLost,
    nodes: Callable[[], NodeLookup | None],
    is_storage_full: IsStorageFull = lambda id: False,
) -> Service:
    """The service descriptor. `nodes` returns None until the networks are built; for the rest see `operations`."""
    handlers = operations(store, engines, authority, is_lost=is_lost, logs=Logs(store, nodes), is_storage_full=is_storage_full)

    def reconcilers(runtime: Runtime) -> Sequence[Reconciler]:
        endpoints = Endpoints(runtime.store, runtime.names, runtime.exposure)
        clock, clock_speed = runtime.clock, runtime.settings.clock_speed
        instances = DbInstanceReconciler(runtime.store, endpoints, clock=clock, clock_speed=clock_speed, is_lost=runtime.is_lost)
        return (instances,)

    owners = {deployment_owner.KIND: deployment_owner.DbInstanceOwner(store)}
    return Service(
        "rds", handlers, reconcilers=reconcilers, owners=owners, resources=lambda: {"db instances": len(store.select(DbInstance))}
    )


def operations(
    store: Store,
    engines: Engines,
    authority: CertificateIssuer,
    *,
    is_lost: IsLost,
    logs: Logs,
    is_storage_full: IsStorageFull = lambda id: False,
) -> dict[str, Handler]:
    """The handlers, by operation name.

    `is_lost` returns whether a zone, by name, is lost now; `is_storage_full` whether the disk of an instance, by its resource id, is full.
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
    """Record that no engine runs: `available` instances are `starting` until their engine answers. Other statuses stay."""
    for instance in transaction.select(DbInstance):
        if instance.status == lifecycle.AVAILABLE:
            events.note(transaction, instance.identifier, 4)
            transaction.put(replace(instance, status=lifecycle.LIFECYCLE.next(instance.status, "region-start")))
