"""Scripts of the AWS CLI: each run creates, reads, changes and deletes resources of every service with the CLI of this environment.

The script runs in `sh` with `set -eu` under the variables that `zonal env` prints, so a command that fails ends it. Names contain the run's
number, and after the script nothing of them may be left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.running_region import RunningRegion
from tests.soak.result import Budget, SoakFailed, soak_region

SCRIPT = """set -eu
vpc=$(aws ec2 create-vpc --cidr-block 10.30.0.0/16 --query Vpc.VpcId --output text)
for zone in a b; do
    net=$([ $zone = a ] && echo 10.30.0.0/24 || echo 10.30.1.0/24)
    aws ec2 create-subnet --vpc-id "$vpc" --cidr-block "$net" --availability-zone "us-east-1$zone" --query Subnet.SubnetId --output text
done > "subnets"
group=$(aws ec2 create-security-group --vpc-id "$vpc" --group-name "shop-$RUN" --description shop --query GroupId --output text)
aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 5432 --cidr 10.30.0.0/16 > /dev/null
aws rds create-db-subnet-group --db-subnet-group-name "shop-$RUN" --db-subnet-group-description shop --subnet-ids $(cat subnets) > /dev/null
aws rds create-db-instance --db-instance-identifier "orders-$RUN" --engine postgres --db-instance-class db.t3.micro --allocated-storage 20 \
    --master-username shop --master-user-password correct-horse --backup-retention-period 0 \
    --db-subnet-group-name "shop-$RUN" --vpc-security-group-ids "$group" > /dev/null
aws dynamodb create-table --table-name "carts-$RUN" --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=cart,AttributeType=S --key-schema AttributeName=cart,KeyType=HASH > /dev/null
aws dynamodb wait table-exists --table-name "carts-$RUN"
aws dynamodb put-item --table-name "carts-$RUN" --item '{"cart": {"S": "1"}, "pieces": {"N": "2"}}'
[ "$(aws dynamodb get-item --table-name "carts-$RUN" --key '{"cart": {"S": "1"}}' --query Item.pieces.N --output text)" = 2 ]
aws s3 mb "s3://receipts-$RUN" > /dev/null
mkdir -p tree/deep && echo one > tree/one && echo two > tree/deep/two && head -c 20000000 /dev/zero > tree/large
aws s3 sync tree "s3://receipts-$RUN/tree" --only-show-errors
rm -rf copy && aws s3 sync "s3://receipts-$RUN/tree" copy --only-show-errors
diff -r tree copy
aws rds wait db-instance-available --db-instance-identifier "orders-$RUN"
aws rds modify-db-instance --db-instance-identifier "orders-$RUN" --allocated-storage 30 --apply-immediately > /dev/null
aws rds wait db-instance-available --db-instance-identifier "orders-$RUN"
aws rds delete-db-instance --db-instance-identifier "orders-$RUN" --skip-final-snapshot > /dev/null
aws s3 rb "s3://receipts-$RUN" --force > /dev/null
aws dynamodb delete-table --table-name "carts-$RUN" > /dev/null
aws dynamodb wait table-not-exists --table-name "carts-$RUN"
aws rds wait db-instance-deleted --db-instance-identifier "orders-$RUN"
aws rds delete-db-subnet-group --db-subnet-group-name "shop-$RUN"
aws ec2 delete-security-group --group-id "$group" > /dev/null
for subnet in $(cat subnets); do aws ec2 delete-subnet --subnet-id "$subnet"; done
aws ec2 delete-vpc --vpc-id "$vpc"
"""


def soak(budget: Budget, first_seed: int, counts: dict[str, float]) -> None:
    """Run the script as often as the budget allows."""
    counts["commands"] = 0
    with soak_region() as region:
        while budget.take_run():
            _run_script(region, budget, first_seed + budget.runs - 1)
            counts["commands"] += SCRIPT.count("aws ")


def _run_script(region: RunningRegion, budget: Budget, number: int) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = clean | region.environment() | {"RUN": str(number), "PATH": path, "AWS_PAGER": ""}
    with tempfile.TemporaryDirectory(prefix="zonal-aws-cli-") as directory:
        done = subprocess.run(
            ["sh", "-c", SCRIPT],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=budget.command_timeout_seconds,
        )
    if done.returncode != 0:
        raise SoakFailed(f"run {number}: the script ended with {done.returncode}: {done.stderr[-3000:]}")
