"""What is deployed: the files are valid, and what they run ends as it should."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from dbops.integrations.testing import PairDatabase

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
PROJECT = Path(__file__).parents[1]


def documents(path: str) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all((PROJECT / path).read_text("utf-8"))


def of_kind(path: str, kind: str) -> dict[str, Any]:
    return next(it for it in documents(path) if it["kind"] == kind)


CONFIGURED: dict[str, str] = of_kind("k8s/deployment.yaml", "ConfigMap")["data"]
DEPLOYMENT = of_kind("k8s/deployment.yaml", "Deployment")["spec"]
JOB = of_kind("k8s/pool.yaml", "Job")["spec"]
(MIGRATES,) = DEPLOYMENT["template"]["spec"]["initContainers"]
(SERVES,) = DEPLOYMENT["template"]["spec"]["containers"]
(COUNTS,) = JOB["template"]["spec"]["containers"]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Return what a container gets besides its secrets."""
    maps = any("configMapRef" in it for it in container["envFrom"])
    own = {it["name"]: it["value"] for it in container.get("env", [])}
    return {
        "KUBERNETES_SERVICE_HOST": "kubernetes",
        **(CONFIGURED if maps else {}),
        **own,
    }


async def dbops(
    database: PairDatabase, command: list[str], **said: str
) -> subprocess.CompletedProcess[str]:
    assert command[0] == "dbops"
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", *command],
        cwd=PROJECT,
        env={**os.environ, **database.environment, **said},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["deployment", "pool"])
def test_a_manifest_is_one_that_kubernetes_knows(name: str) -> None:
    for it in documents(f"k8s/{name}.yaml"):
        kubernetes_validate.validate(it, "1.33", strict=True)


def test_the_compose_file_is_one_that_compose_knows() -> None:
    check = [sys.executable, "-m", "check_jsonschema"]
    schema = ["--builtin-schema", "vendor.compose-spec", str(PROJECT / "compose.yaml")]
    subprocess.run([*check, *schema], check=True, capture_output=True)


def test_the_gate_counts_what_is_deployed() -> None:
    command = COUNTS["command"]
    surge = DEPLOYMENT["strategy"]["rollingUpdate"]["maxSurge"]
    assert command[command.index("--replicas") + 1] == str(DEPLOYMENT["replicas"])
    assert command[command.index("--surge") + 1] == str(surge)
    # Its pools are those that are served with.
    assert environment(COUNTS).items() <= environment(SERVES).items()


def test_a_migration_may_take_as_long_as_it_takes() -> None:
    (compose,) = documents("compose.yaml")
    setup = compose["services"]["setup"]["environment"]
    assert "DBOPS_STATEMENT_TIMEOUT" in environment(SERVES)
    assert "DBOPS_STATEMENT_TIMEOUT" not in {**environment(MIGRATES), **setup}


@pytest.mark.parametrize("container", [MIGRATES, COUNTS], ids=["migrate", "pool"])
async def test_what_a_pod_runs_ends_well(
    dbops_database: PairDatabase, container: dict[str, Any]
) -> None:
    done = await dbops(dbops_database, container["command"], **environment(container))
    assert done.returncode == 0, done.stdout + done.stderr


async def test_what_is_configured_counts(dbops_database: PairDatabase) -> None:
    said = environment(SERVES)
    done = await dbops(dbops_database, ["dbops", "config"], **said)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in said:
        if name.startswith("DBOPS_"):
            assert name in done.stdout


async def test_each_probe_is_answered(
    serve: Serve, dbops_database: PairDatabase
) -> None:
    async with serve(dbops_database.settings()) as client:
        for probe in ("livenessProbe", "readinessProbe"):
            path = SERVES[probe]["httpGet"]["path"]
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("command", "code"),
    [
        # The models are what the revisions make.
        ("dbops check", 0),
        ("dbops pool --replicas 40 --surge 1 --pool-size 5 --max-overflow 5", 1),
    ],
)
async def test_a_command_ends_as_the_pipeline_needs_it(
    dbops_database: PairDatabase, command: str, code: int
) -> None:
    done = await dbops(dbops_database, command.split())
    assert done.returncode == code, done.stdout + done.stderr
