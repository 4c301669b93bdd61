"""What `make` installs where: the rule of .venv, with stand-ins for python, uv and nvidia-smi that note their calls."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64") or Path("/dev/nvidia0").exists(),
    reason="the locks are for x86-64 Linux; a real GPU would be found beside the stand-ins",
)

PYTHON = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} "$@"
[ "$1" = .ci/torch_build.py ] && {{ [ -f torch ] && [ "$2" != "$(cat torch)" ] && exit 1; exit 0; }}
echo "python $*" >> calls
mkdir -p .venv/bin
cp "$0" .venv/bin/python
cp bin/uv .venv/bin/uv
"""
UV = """#!/bin/sh
echo "uv $* [$UV_TORCH_BACKEND|$UV_FIND_LINKS]" >> calls
"""
GPU = "#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n"
NO_GPU = "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n"


@pytest.fixture
def box(tmp_path):
    """A checkout with a Makefile, two locks and nothing but stand-ins on its PATH."""
    for name in ("Makefile", "requirements.lock", "requirements-cuda.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    put(tmp_path, "python3.11", PYTHON)
    put(tmp_path, "uv", UV)
    return tmp_path


def put(box, name, script):
    path = box / "bin" / name
    path.write_text(script)
    path.chmod(0o755)


def make(box, *arguments, **environment):
    """What `make .venv/ready` called, line by line, and what it said."""
    (box / "calls").write_text("")
    done = subprocess.run(
        ["make", *(arguments or (".venv/ready",))],
        cwd=box,
        env={"PATH": f"{box}/bin:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return (box / "calls").read_text().splitlines(), done.stdout + done.stderr, done.returncode


def installs(calls):
    return [line.removeprefix("uv pip install -q --python .venv/bin/python ") for line in calls if "-r " in line]


def test_a_machine_without_a_gpu_gets_the_cpu_lock_and_a_cpu_torch(box):
    calls, _, code = make(box)
    assert installs(calls) == ["--no-deps -r requirements.lock [cpu|]"]
    assert (code, (box / ".venv/ready").read_text()) == (0, "cpu\n")


def test_a_gpu_gets_the_cuda_lock_and_no_word_of_a_cpu_torch(box):
    put(box, "nvidia-smi", GPU)
    calls, _, _ = make(box, UV_TORCH_BACKEND="cpu", UV_FIND_LINKS="/wheels", PIP_FIND_LINKS="/wheels")
    assert installs(calls) == ["--no-deps -r requirements-cuda.lock [|]"]
    assert (box / ".venv/ready").read_text() == "cuda\n"


def test_a_driver_that_finds_no_gpu_is_none(box):
    put(box, "nvidia-smi", NO_GPU)
    assert make(box, "-s", "accelerator")[1] == "cpu\n"


def test_accelerator_wins_over_what_is_there(box):
    put(box, "nvidia-smi", GPU)
    assert installs(make(box, ACCELERATOR="cpu")[0]) == ["--no-deps -r requirements.lock [cpu|]"]
    assert make(box, "-s", "accelerator", "ACCELERATOR=cpu")[1] == "cpu\n"
    assert make(box, "-s", "accelerator")[1] == "cuda\n"


def test_a_word_that_is_no_accelerator_is_refused(box):
    _, said, code = make(box, "ACCELERATOR=gpu", ".venv/ready")
    assert code == 2
    assert "ACCELERATOR is 'gpu', expected cpu or cuda" in said


def test_a_folder_of_wheels_takes_the_place_of_uvs_own_index(box):
    assert installs(make(box, PIP_FIND_LINKS="/wheels")[0]) == ["--no-deps -r requirements.lock [|/wheels]"]


def test_what_is_built_stays(box):
    make(box)
    assert make(box)[0] == []


def test_an_environment_for_the_other_accelerator_is_built_anew_and_said_so(box):
    make(box)
    put(box, "nvidia-smi", GPU)
    calls, said, _ = make(box)
    assert calls[0] == "python -m venv --clear .venv"
    assert installs(calls) == ["--no-deps -r requirements-cuda.lock [|]"]
    assert ".venv was built for cpu and is built anew for cuda. ACCELERATOR=cpu in the environment keeps it" in said
    assert make(box)[0] == []


def test_an_environment_of_an_earlier_release_says_nothing_and_is_for_the_cpu(box):
    make(box)
    (box / ".venv/ready").write_text("")
    assert make(box)[0] == []
    assert installs(make(box, ".venv/ready", "ACCELERATOR=cuda")[0]) == ["--no-deps -r requirements-cuda.lock [|]"]


def test_a_newer_lock_is_installed_into_what_is_there(box):
    make(box)
    os.utime(box / "requirements.lock", (4_000_000_000, 4_000_000_000))
    calls, _, _ = make(box)
    assert calls[0] == "python -m venv .venv"
    assert installs(calls) == ["--no-deps -r requirements.lock [cpu|]"]


@pytest.mark.parametrize(("asked", "found"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_torch_for_the_other_accelerator_is_an_error_and_nothing_is_ready(box, asked, found):
    (box / "torch").write_text(found)
    _, _, code = make(box, ".venv/ready", f"ACCELERATOR={asked}")
    assert code == 2
    assert not (box / ".venv/ready").exists()


def test_the_build_of_torch_is_read_without_importing_it(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise ImportError('libcudart.so.13')")
    (tmp_path / "torch/version.py").write_text("cuda = '13.0'\n")

    def check(wanted):
        return subprocess.run(
            [sys.executable, "-P", ROOT / ".ci/torch_build.py", wanted],
            env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert check("cuda").returncode == 0
    assert check("cpu").returncode == 1
    assert "is a CUDA build, and a CPU build is needed" in check("cpu").stderr


def test_a_python_that_does_not_run_is_passed_over(box):
    # pyenv puts a shim on the PATH for every Python it has, and most of them only say that it is not chosen.
    put(box, "python3.11", "#!/bin/sh\nexit 127\n")
    put(box, "python3.12", PYTHON)
    calls, _, code = make(box)
    assert code == 0
    assert calls[0] == "python -m venv .venv"


def test_a_python_of_another_version_says_which_are_needed(box):
    put(box, "python3.9", '#!/bin/sh\n[ "$1" = -c ] && exit 1\n')
    _, said, code = make(box, ".venv/ready", "PYTHON=python3.9")
    assert code == 2
    assert "Python 3.11, 3.12 or 3.13 is needed, and python3.9 is none of them. Set PYTHON=/path/to/python" in said


def test_a_python_that_is_asked_for_replaces_another_one(box):
    make(box)
    put(box, "python3.13", PYTHON.replace(f'exec {sys.executable} "$@"', "echo 3 13 && exit"))
    calls, _, _ = make(box, ".venv/ready", "PYTHON=python3.13")
    assert calls[0] == "python -m venv --clear .venv"
