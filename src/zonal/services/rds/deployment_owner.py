"""The owner of a DB instance's deployment: its ARN, its endpoint's name and its description (`control.owners.DeploymentOwner`)."""

from __future__ import annotations

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.control.owners import NameTarget, Owner
from zonal.records.record_view import RecordView
from zonal.services.ec2.model import NetworkInterface
from zonal.services.rds.model import DbInstance, instance_arn

KIND = "rds:db"


def owner(identifier: str) -> Owner:
    """The owner of the deployment of the DB instance with this identifier."""
    return Owner(KIND, identifier)


class DbInstanceOwner:
    """DB instances as owners of deployments. The deployment of an instance has the instance's resource id."""

    def __init__(self, view: RecordView) -> None:
        self._view = view

    def arn(self, id: str) -> str:
        return instance_arn(id)

    def describe(self, id: str) -> str:
        return f"DB instance {id}"

    def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> tuple[NameTarget, ...]:
        instance = self._view.get(DbInstance, spec.id)
        return endpoint_targets(self._view, instance, status) if instance is not None else ()


def endpoint_targets(view: RecordView, instance: DbInstance, status: DeploymentStatus) -> tuple[NameTarget, ...]:
    """The endpoint's name with the leader's addresses; empty where the leader has no interface."""
    interface_id = next((each.interface_id for each in instance.interfaces if each.node == status.leader), None)
    if interface_id is None:
        return ()
    interface = view.require(NetworkInterface, interface_id)
    return (NameTarget(instance.endpoint, interface.addresses[0], interface.public_address),)
