"""S3 clients as separate programs: rclone, and s3fs as a file system and as a Python library. `script/clients` installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

BROUGHT = Path(__file__).parent.parent / ".venv" / "clients"
DEBIAN = BROUGHT / "debian"
LIBRARIES = ":".join(str(DEBIAN / path) for path in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"))


def run(argv: list[str], environment: Mapping[str, str], *, within_seconds: float = 300) -> str:
    """The output of a program; fails with its error output. The caller's AWS configuration is not passed on."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "PYTHONPATH"}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(argv, env=clean | keys | dict(environment), capture_output=True, text=True, timeout=within_seconds)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def rclone(url: str, *argv: str) -> str:
    """Run rclone, with the endpoint configured as `zonal:`."""
    settings = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": url,
        "ACCESS_KEY_ID": "test",
        "SECRET_ACCESS_KEY": "test",
        "REGION": "us-east-1",
        "USE_MULTIPART_ETAG": "true",
        # This rclone sends an ACL with every object; new buckets reject all but this one, as on AWS.
        "ACL": "bucket-owner-full-control",
        "BUCKET_ACL": "private",
    }
    environment = {f"RCLONE_CONFIG_ZONAL_{name}": value for name, value in settings.items()}
    return run([_program("rclone"), *argv], environment | {"RCLONE_CONFIG": ""})


def on_mounted_bucket(url: str, bucket: str, directory: Path, script: str) -> str:
    """The output of a shell script in a bucket that s3fs has mounted at `directory`, in a mount namespace of its own."""
    options = f"-o url={url} -o use_path_request_style -o sigv4 -o endpoint=us-east-1"
    message = f"""
        set -e
        {_program("s3fs")} {bucket} {directory} {options} -f >&2 &
        for _ in $(seq 100); do grep -q " {directory} " /proc/mounts && break; sleep 0.05; done
        cd {directory}
        {script}
        cd /
        umount {directory}
        wait $!
    """
    whose = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    environment = {"LD_LIBRARY_PATH": LIBRARIES, "AWSACCESSKEYID": "test", "AWSSECRETACCESSKEY": "test"}
    return run(["unshare", "--mount", *whose, "bash", "-c", message], environment)


def s3fs_python(url: str, script: str) -> str:
    """The output of a Python program with s3fs's file system as `fs`."""
    python = BROUGHT / "s3fs" / "bin" / "python"
    assert python.exists(), "s3fs for Python is not there: run script/clients"
    head = f"import s3fs, os\nfs = s3fs.S3FileSystem(client_kwargs={{'endpoint_url': '{url}'}})\n"
    return run([str(python), "-c", head + script], {})


def _program(name: str) -> str:
    brought = DEBIAN / "usr" / "bin" / name
    found = str(brought) if brought.exists() else shutil.which(name)
    assert found, f"{name} is not there: run script/clients"
    return found
