"""Terraform creates, changes and destroys the configuration in `terraform/`: a VPC, a Multi-AZ PostgreSQL, a table and a bucket.

Each run applies, checks that the next plan is empty, applies a changed revision, checks again, destroys, and checks that nothing is left.
Needed are the program `terraform` and an unpacked AWS provider in one of the directories of local providers (`PROVIDER_DIRECTORIES`, as
Terraform's CLI configuration documents them) or in `ZONAL_TERRAFORM_PLUGINS`; nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.running_region import RunningRegion
from tests.soak.result import Budget, SoakFailed, SoakUnavailable, soak_region

CONFIGURATION = Path(__file__).parent / "terraform"
PROVIDER = Path("registry.terraform.io/hashicorp/aws")
PROVIDER_DIRECTORIES = (
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
)
CHANGES_PENDING = 2
"""The exit status of `terraform plan -detailed-exitcode` when the plan is not empty."""


def soak(budget: Budget, _seed: int, counts: dict[str, float]) -> None:
    """Run the whole cycle as often as the budget allows."""
    program, plugins = shutil.which("terraform"), provider_directory()
    if not program:
        raise SoakUnavailable("the program 'terraform' is not in the PATH")
    if not plugins:
        raise SoakUnavailable(f"there is no {PROVIDER} in {', '.join(PROVIDER_DIRECTORIES)} or $ZONAL_TERRAFORM_PLUGINS")
    with soak_region() as region, tempfile.TemporaryDirectory(prefix="zonal-terraform-") as directory:
        terraform = Terraform(program, Path(directory), region, budget)
        terraform.run("init", "-input=false", f"-plugin-dir={plugins}")
        while budget.take_run():
            for revision in (1, 2):
                begun = time.monotonic()
                terraform.apply(revision)
                counts[f"apply_{revision}_seconds"] = round(time.monotonic() - begun, 1)
                terraform.require_empty_plan(revision)
            begun = time.monotonic()
            terraform.run("destroy", "-auto-approve", "-input=false", *terraform.variables(2))
            counts["destroy_seconds"] = round(time.monotonic() - begun, 1)
            require_nothing_left(region)


def provider_directory() -> Path | None:
    """The directory of local providers that has the AWS provider."""
    named = os.environ.get("ZONAL_TERRAFORM_PLUGINS")
    candidates = [Path(each).expanduser() for each in ([named] if named else PROVIDER_DIRECTORIES)]
    return next((each for each in candidates if (each / PROVIDER).is_dir()), None)


class Terraform:
    """Terraform in a directory of its own, on one region."""

    def __init__(self, program: str, directory: Path, region: RunningRegion, budget: Budget) -> None:
        self._program = program
        self._directory = directory
        self._budget = budget
        self._endpoint = f"http://127.0.0.1:{region.port}"
        shutil.copy(CONFIGURATION / "main.tf", directory)

    def variables(self, revision: int) -> tuple[str, ...]:
        return (f"-var=endpoint={self._endpoint}", f"-var=revision={revision}")

    def apply(self, revision: int) -> None:
        self.run("apply", "-auto-approve", "-input=false", *self.variables(revision))

    def require_empty_plan(self, revision: int) -> None:
        done = self.run("plan", "-detailed-exitcode", "-input=false", *self.variables(revision), also_accepted=CHANGES_PENDING)
        if done.returncode == CHANGES_PENDING:
            raise SoakFailed(f"the plan after applying revision {revision} is not empty:\n{done.stdout[-3000:]}")

    def run(self, *argv: str, also_accepted: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of Terraform; raises `SoakFailed` with the end of its output."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        # Terraform's own check for new versions asks a server of HashiCorp.
        environment = clean | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        done = subprocess.run(
            [self._program, argv[0], "-no-color", *argv[1:]],
            cwd=self._directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=self._budget.command_timeout_seconds,
        )
        if done.returncode not in (0, also_accepted):
            raise SoakFailed(f"terraform {argv[0]} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
        return done


def require_nothing_left(region: RunningRegion) -> None:
    """Raise `SoakFailed` if a resource of the configuration still exists."""
    vpcs = region.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]
    left = [
        *(each["VpcId"] for each in vpcs),
        *(each["DBInstanceIdentifier"] for each in region.client("rds").describe_db_instances()["DBInstances"]),
        *region.client("dynamodb").list_tables()["TableNames"],
        *(each["Name"] for each in region.client("s3").list_buckets()["Buckets"]),
    ]
    if left:
        raise SoakFailed(f"terraform destroy left {', '.join(left)}")
