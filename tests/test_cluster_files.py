"""The files of docs/how-to/run-on-a-cluster.md: what they run is a curation of ours, and they end what they start."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_support import FILES, Shell, hf_job, hf_jobs, kubernetes, sbatch, sbatch_options, skypilot
from docs_support import ROOT, Page

from flows.recipe.command_line import load_recipe

PAGE = Page("docs/how-to/run-on-a-cluster.md")
JOB = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "node[7-8]",
    "SLURM_CPUS_PER_TASK": "64",
    "SLURM_GPUS_ON_NODE": "8",
}
AGAIN = ["requeue", "4711"]
# Fields of KubeRay 1.7.0, by its API reference.
RAY_JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint"),
    *("entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata"),
    *("preRunningDeadlineSeconds", "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode"),
    *("submitterConfig", "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished"),
}
RAY_CLUSTER = {
    *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "headGroupSpec"),
    *("headServiceAnnotations", "historyServerOptions", "managedBy", "networkPolicy", "rayVersion", "suspend"),
    *("tlsOptions", "upgradeStrategy", "workerGroupSpecs"),
}
GROUP = {"labels", "rayStartParams", "resources", "template"}
HEAD = GROUP | {"enableIngress", "headService", "ingressOptions", "serviceType"}
WORKERS = GROUP | {
    *("groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "priority", "replicas"),
    *("scaleStrategy", "suspend"),
}


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def recipe(arguments):
    """The recipe that a command line is, of the files of this checkout."""
    [file, *flags] = arguments
    return load_recipe([str(ROOT / file), *flags], default=Path(), program="python -m flows.curate")


def places(found):
    return found.name, found.ledger, found.output.dir


def replicas(found):
    return found.cluster.address, found.cluster.replicas.policy, found.cluster.replicas.reward


def test_a_slurm_job_curates_on_all_gpus_of_its_nodes_and_ends_what_it_started(shell):
    code, output = shell.run(sbatch(), "--sampling.n", "4", **JOB, SLURM_SUBMIT_DIR=str(shell.folder))
    assert (code, output) == (0, "")
    [arguments] = shell.curations()
    found = recipe(arguments)
    shared = f"{shell.folder}/runs"
    assert places(found) == ("ultrafeedback-poet", f"{shared}/ledger", f"{shared}/ultrafeedback-poet")
    assert replicas(found) == ("auto", "1:16", "1:16")
    assert found.sampling.n == 4
    head, worker, removed = shell.calls("srun")
    assert "--nodelist=node7" in head
    assert {"--head", "--block", "--node-ip-address=192.0.2.7", "--port=6379", "--num-gpus=8"} < set(head)
    assert "--nodelist=node8" in worker
    assert {"--address=192.0.2.7:6379", "--block", "--num-gpus=8", "--num-cpus=64"} < set(worker)
    assert removed == ["--ntasks-per-node=1", "rm", "-rf", "/tmp/curate-4711"]
    assert len(shell.calls("srun-ended")) == 2
    waits = [words[1:] for words in shell.calls("python") if words[0].endswith("wait_for_nodes.py")]
    assert waits == [["1"], ["2"]]
    assert [words for words in shell.calls("scontrol") if words[0] != "show"] == []


def test_a_slurm_job_ends_as_its_curation_did(shell):
    code, _ = shell.run(sbatch(), **JOB, SLURM_SUBMIT_DIR=str(shell.folder), CURATES="exit 2")
    assert code == 2
    assert len(shell.calls("srun-ended")) == 2
    assert [words for words in shell.calls("scontrol") if words[0] != "show"] == []


@pytest.mark.parametrize(
    ("restarts", "asked"), [("", [["requeue", "4711"]]), ("19", [["requeue", "4711"]]), ("20", [])]
)
def test_a_slurm_job_whose_time_ends_stops_its_curation_and_is_requeued_twenty_times(shell, restarts, asked):
    count = {"SLURM_RESTART_COUNT": restarts} if restarts else {}
    curates = "trap 'echo stopped; exit 143' TERM; echo at work; while :; do sleep 0.05; done"
    process = shell.start(sbatch(), **JOB, SLURM_SUBMIT_DIR=str(shell.folder), CURATES=curates, **count)
    assert process.stdout.readline() == "at work\n"
    process.send_signal(10)  # USR1
    output, _ = process.communicate(timeout=60)
    assert output.startswith("stopped\n")
    assert process.returncode != 0
    assert [words for words in shell.calls("scontrol") if words[0] != "show"] == asked
    order = [line.split("\t")[0] for line in shell.calls_file.read_text().splitlines()]
    assert order[-3 - len(asked) :] == ["srun-ended", "srun-ended", "srun", *["scontrol"] * len(asked)]


def test_the_slurm_options_are_sbatchs_and_leave_time_to_stop():
    found = sbatch_options()
    assert len(found) == len(re.findall("^#SBATCH", sbatch(), re.MULTILINE))
    known = {
        *("job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "mem", "exclusive", "no-kill"),
        *("time", "signal", "requeue", "open-mode", "output"),
    }
    assert set(found) == known
    assert found["signal"] == "B:USR1@300"
    assert found["open-mode"] == "append"
    assert found["ntasks-per-node"] == "1"


def test_skypilots_first_machine_curates_and_ends_its_ray(shell):
    machine = {"SKYPILOT_NODE_RANK": "0", "SKYPILOT_NODE_IPS": "192.0.2.7\n192.0.2.8"}
    counts = {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NUM_GPUS_PER_NODE": "8"}
    code, output = shell.run(skypilot()["run"], **machine, **counts, **skypilot()["envs"], UP="1")
    assert (code, output) == (0, "")
    [arguments] = shell.curations()
    found = recipe(arguments)
    assert places(found) == ("ultrafeedback-poet", "/shared/ledger", "runs/ultrafeedback-poet")
    assert replicas(found) == ("auto", "1:16", "1:16")
    [head] = shell.calls("ray")
    assert {"--head", "--block", "--port=6379", "--num-gpus=8"} < set(head)
    assert len(shell.calls("ray-ended")) == 1
    assert "/shared" in skypilot()["file_mounts"]


def test_skypilots_other_machines_join_the_first_and_are_done(shell):
    machine = {"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NODE_IPS": "192.0.2.7\n192.0.2.8"}
    code, _ = shell.run(skypilot()["run"], **machine, SKYPILOT_NUM_GPUS_PER_NODE="8", **skypilot()["envs"])
    assert code == 0
    assert shell.calls("ray") == [["start", "--address=192.0.2.7:6379", "--disable-usage-stats", "--num-gpus=8"]]
    assert shell.calls("python") == []


def test_kuberays_fields_are_those_of_its_reference_and_what_it_starts_is_a_curation():
    job = kubernetes("RayJob")
    assert (job["apiVersion"], kubernetes("PersistentVolumeClaim")["spec"]["accessModes"]) == (
        "ray.io/v1",
        ["ReadWriteMany"],
    )
    cluster = job["spec"]["rayClusterSpec"]
    [workers] = cluster["workerGroupSpecs"]
    assert set(job["spec"]) <= RAY_JOB
    assert set(cluster) <= RAY_CLUSTER
    assert set(cluster["headGroupSpec"]) <= HEAD
    assert set(workers) <= WORKERS
    assert cluster["rayVersion"] == installed("ray")
    folder, wait, curation = (shlex.split(one) for one in job["spec"]["entrypoint"].split("&&"))
    assert folder == ["cd", "/app"]
    assert wait[:2] == ["python", "docs/how-to/clusters/wait_for_nodes.py"]
    assert int(wait[2]) == workers["replicas"] + 1
    assert curation[:3] == ["python", "-m", "flows.curate"]
    found = recipe(curation[3:])
    assert places(found) == ("ultrafeedback-poet", "/shared/ledger", "/shared/runs/ultrafeedback-poet")
    assert replicas(found) == ("auto", "1:16", "1:16")


def test_kuberays_volume_is_where_the_run_writes_in_every_pod():
    cluster = kubernetes("RayJob")["spec"]["rayClusterSpec"]
    claim = kubernetes("PersistentVolumeClaim")["metadata"]["name"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        assert mounts == {"shared": "/shared", "memory": "/dev/shm"}
        assert {one["name"]: one for one in pod["volumes"]}["shared"]["persistentVolumeClaim"] == {"claimName": claim}
        assert {one["name"]: one.get("value") for one in container["env"]}["HF_HOME"] == "/shared/huggingface"


@pytest.mark.slow
def test_ray_reads_eight_gpus_for_each_worker_and_no_room_for_a_replica_in_the_head():
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr as derive

    spec = kubernetes("RayJob")["spec"]["rayClusterSpec"]
    found = derive({"metadata": {"name": "curate", "namespace": "here"}, "spec": spec})["available_node_types"]
    assert found["headgroup"]["resources"]["CPU"] == 0
    assert "GPU" not in found["headgroup"]["resources"]
    assert (found["gpu"]["min_workers"], found["gpu"]["max_workers"]) == (2, 2)
    assert (found["gpu"]["resources"]["CPU"], found["gpu"]["resources"]["GPU"]) == (64, 8)


def test_the_image_has_what_the_files_name():
    text = (FILES / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"flows", "transforms", "trainers", "docs/how-to/clusters", "requirements-cuda.lock", ".ci"} <= set(copied)
    assert f'"ray[default]=={installed("ray")}"' in text


def test_hugging_faces_command_takes_the_job(tmp_path):
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HF_TOKEN": "hf_nobody",
        "BUCKET": "my-org/curation",
        "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody is asked
        "COLUMNS": "200",
    }
    command = ["bash", str(FILES / "hf_jobs.sh"), "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Job not submitted" in done.stdout
    told = {words[0]: words[1:] for words in map(str.split, done.stdout.splitlines()) if len(words) > 1}
    assert (told["flavor"], told["timeout"], told["attempts"]) == (["a100x4"], ["24h"], ["3"])
    assert "hf_nobody" not in done.stdout


def hugging_face(shell, **environment):
    """The job, with its folder in the test's."""
    text = hf_job().replace("/work", str(shell.folder)).replace("tar -xf", "true")
    return shell.run(text, BUCKET="my-org/curation", RECIPE="flows/configs/ultrafeedback-poet.yaml", **environment)


def test_hugging_faces_job_curates_on_four_gpus_between_the_ledgers_two_ways(shell):
    code, output = hugging_face(shell)
    assert (code, output) == (0, "")
    [arguments] = shell.curations()
    found = recipe(arguments)
    assert places(found) == ("ultrafeedback-poet", "ledger", "runs/ultrafeedback-poet")
    assert (found.policy.data_parallel, found.reward.data_parallel, found.cluster) == (4, 4, None)
    ledger, runs = "hf://buckets/my-org/curation/ledger", "hf://buckets/my-org/curation/runs/ultrafeedback-poet"
    ways = [words[2:4] for words in shell.calls("hf")]
    assert ways == [[ledger, "ledger"], ["runs/ultrafeedback-poet", runs], ["ledger", ledger]]


def test_hugging_faces_job_keeps_the_ledger_of_a_run_that_fails_and_pays_for_nothing_without_one(shell):
    code, _ = hugging_face(shell, CURATES="exit 2")
    assert code == 2
    assert [words[2] for words in shell.calls("hf")] == ["hf://buckets/my-org/curation/ledger", "ledger"]
    (shell.folder / ".venv/bin/hf").write_text("#!/bin/sh\nexit 1\n")
    shell.calls_file.unlink()
    code, _ = hugging_face(shell)
    assert code == 1
    assert shell.curations() == []


def test_hugging_faces_job_keeps_the_ledger_while_it_runs(shell):
    curates = 'until [ "$(grep -c "^hf" "$CALLS")" -ge 3 ]; do /bin/sleep 0.05; done'
    code, _ = hugging_face(shell, SLEEPS="0.1", CURATES=curates)
    assert code == 0
    first, *later = [words[2] for words in shell.calls("hf")]
    assert first == "hf://buckets/my-org/curation/ledger"
    assert later[:2] == ["ledger", "ledger"]
    assert later[-1] == "ledger"
    excluded = [words[-3:] for words in shell.calls("hf") if words[2] == "ledger"]
    assert set(map(tuple, excluded)) == {("*tmp-*", "--exclude", "*started-*")}


def test_the_page_names_every_file_and_the_locks_versions():
    named = {link.removeprefix("clusters/") for link in PAGE.links() if link.startswith("clusters/")}
    assert named == {path.name for path in FILES.iterdir() if path.is_file()}
    for package in ("ray", "huggingface_hub"):
        assert installed(package) in PAGE.text
    assert "--attempts 3" in hf_jobs()


def installed(package):
    lock = (ROOT / "requirements.lock").read_text()
    [version] = re.findall(rf"^{package.replace('_', '-')}==(\S+)", lock, re.MULTILINE)
    return version
