"""What a plan means for routes, and what faults mean for a core."""

from __future__ import annotations

from zonal.fabric import impairments, vpc_networks
from zonal.fabric.device_names import CORE_DEVICE, NEXT_HOP, core_transit_name, port_name, table_number, transit_name
from zonal.fabric.doctor import namespaces_remedy
from zonal.fabric.linux.netlink import MAIN, KernelRoute
from zonal.fabric.nsenter import enter_argv
from zonal.fabric.plan import InterfacePlan, NatGatewayPlan, SubnetPlan, VpcPlan
from zonal.fabric.plan import PlannedRoute as RoutePlan
from zonal.fabric.zones import ZONES, ZoneFault

A, B, _ = (zone.name for zone in ZONES)


def plan(*routes: RoutePlan, **given: object) -> VpcPlan:
    subnets = (SubnetPlan("subnet-a", A, "10.0.0.0/24", routes, "acl"), SubnetPlan("subnet-b", B, "10.0.1.0/24", (), "acl"))
    interfaces = (
        InterfacePlan("eni-a", "subnet-a", "02:00:00:00:00:01", ("10.0.0.5",), ()),
        InterfacePlan("eni-b", "subnet-b", "02:00:00:00:00:02", ("10.0.1.5",), ()),
    )
    return VpcPlan("vpc-1", ("10.0.0.0/16",), subnets, interfaces, **given)  # type: ignore[arg-type]


def table(wanted: VpcPlan, subnet: str, zone: str) -> dict[str, KernelRoute]:
    return {row.cidr: row for row in vpc_networks.zone_network_state(wanted, zone).routes if row.table == table_number(subnet)}


def test_a_subnet_without_routes_leads_to_the_vpc_and_nowhere_else() -> None:
    found = table(plan(), "subnet-a", A)
    assert {cidr: row.kind for cidr, row in found.items()} == {"0.0.0.0/0": "blackhole", "10.0.0.0/16": "throw"}


def test_an_internet_route_leads_to_the_core_only_while_a_gateway_is_attached() -> None:
    route = RoutePlan("0.0.0.0/0", "internet")
    attached = table(plan(route, internet_gateway=True), "subnet-a", A)["0.0.0.0/0"]
    assert (attached.device, attached.gateway) == (CORE_DEVICE, NEXT_HOP)
    assert table(plan(route), "subnet-a", A)["0.0.0.0/0"].kind == "blackhole"


def test_a_route_to_a_missing_target_is_a_blackhole() -> None:
    assert table(plan(RoutePlan("0.0.0.0/0", "interface", "eni-gone")), "subnet-a", A)["0.0.0.0/0"].kind == "blackhole"


def test_a_route_to_a_nat_gateway_in_another_zone_has_links_of_its_own_through_the_core() -> None:
    wanted = plan(RoutePlan("0.0.0.0/0", "interface", "nat-1"), nat_gateways=(NatGatewayPlan("nat-1", "eni-b"),))
    assert table(wanted, "subnet-a", A)["0.0.0.0/0"].device == transit_name("eni-b")
    core = {row for row in vpc_networks.core_network_state(wanted, (A, B)).routes if row.table == table_number("eni-b")}
    assert {row.device for row in core} == {core_transit_name(B, "eni-b")}
    assert (
        KernelRoute(table_number("eni-b"), "0.0.0.0/0", device=port_name("eni-b"), gateway="10.0.1.5")
        in vpc_networks.zone_network_state(wanted, B).routes
    )


def test_a_route_to_a_host_that_is_off_is_a_blackhole() -> None:
    wanted = plan(RoutePlan("10.0.1.0/24", "interface", "eni-a"))
    ways = {
        row
        for row in vpc_networks.zone_network_state(wanted, A).routes
        if (row.table, row.cidr) == (table_number("subnet-a"), "10.0.1.0/24")
    }
    assert {(row.kind, row.metric) for row in ways} == {("unicast", 0), ("blackhole", 1)}


def test_the_names_of_a_cores_devices_begin_with_the_zone_that_they_lead_into_and_fit_the_kernel() -> None:
    for zone in ZONES:
        name = core_transit_name(zone.name, "eni-0123456789abcdef0")
        assert name.startswith(zone.name) and len(name) <= 15


def test_no_two_routes_of_a_table_have_the_same_network_and_metric() -> None:
    wanted = plan(RoutePlan("10.0.0.0/16", "local"), RoutePlan("0.0.0.0/0", "internet"), internet_gateway=True)
    for network_state in (
        *(vpc_networks.zone_network_state(wanted, zone.name) for zone in ZONES),
        vpc_networks.core_network_state(wanted, (A, B)),
    ):
        keys = [(row.table, row.cidr, row.metric) for row in network_state.routes]
        assert len(keys) == len(set(keys))


def test_a_vpc_that_is_one_subnet_is_wired_without_contradiction() -> None:
    whole = VpcPlan("vpc-1", ("10.0.0.0/24",), (SubnetPlan("subnet-a", A, "10.0.0.0/24", (), "acl"),))
    for network_state in (
        vpc_networks.zone_network_state(whole, A),
        vpc_networks.zone_network_state(whole, B),
        vpc_networks.core_network_state(whole, (A, B)),
    ):
        keys = [(row.table, row.cidr, row.metric) for row in network_state.routes]
        assert len(keys) == len(set(keys))
    assert KernelRoute(MAIN, "10.0.0.0/24", device=A, gateway=NEXT_HOP) in vpc_networks.core_network_state(whole, (A, B)).routes


def test_the_resolver_is_at_the_base_plus_two_and_can_be_switched_off() -> None:
    assert vpc_networks.resolver_addresses(plan()) == ("10.0.0.2", "169.254.169.253")
    assert vpc_networks.resolver_addresses(plan(dns=False)) == ()


def test_faults_become_silent_drops_in_both_directions() -> None:
    text = impairments.ruleset({A: ZoneFault("power"), B: ZoneFault("loss", 2.5)}).text()
    assert f'iifname "{A}*" drop' in text and f'oifname "{A}*" drop' in text
    assert f'iifname "{B}*" numgen random mod 10000 < 250 drop' in text
    assert "drop" not in impairments.ruleset({A: ZoneFault("delay", 5)}).text()


def test_the_remedy_names_the_setting_that_refuses() -> None:
    ubuntu = {"kernel/apparmor_restrict_unprivileged_userns": "1"}
    assert "apparmor_restrict_unprivileged_userns=0" in namespaces_remedy(ubuntu.get)
    assert "unprivileged_userns_clone=1" in namespaces_remedy({"kernel/unprivileged_userns_clone": "0"}.get)
    assert "max_user_namespaces" in namespaces_remedy({"user/max_user_namespaces": "0"}.get)
    assert "root" in namespaces_remedy({}.get)


def test_an_ordinary_user_enters_the_user_namespace_first_and_keeps_the_credentials() -> None:
    argv = enter_argv(100, 7, rootless=True, directory="/here")
    assert argv[:5] == ["nsenter", "--target", "100", "--user", "--preserve-credentials"]
    assert argv[-1] == "/here"
    assert "--user" not in enter_argv(100, 7, rootless=False, directory="/here")
