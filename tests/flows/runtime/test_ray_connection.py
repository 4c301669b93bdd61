"""What connecting to Ray leaves as it was."""

import subprocess
import sys

import pytest

# Connects in the main thread or another, is terminated, and ends as a command does: 143 and a message.
TERMINATED = """
import os, signal, sys, threading
from flows.runtime.cli import run_command
from flows.runtime.ray_connection import connect

def join():
    connect("local", key="cluster", otherwise="", local={"num_cpus": 1})

def main():
    if sys.argv[1] == "main":
        join()
    else:
        other = threading.Thread(target=join)
        other.start()
        other.join()
    os.kill(os.getpid(), signal.SIGTERM)
    return 0

run_command(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("thread", ["main", "another"])
def test_a_run_that_has_joined_ray_ends_with_143_and_a_hint_when_it_is_terminated(thread):
    done = subprocess.run([sys.executable, "-c", TERMINATED, thread], capture_output=True, text=True, check=False)
    assert done.returncode == 143, done.stderr
    assert "terminated: " in done.stderr
    assert "SIGTERM received" not in done.stderr


# Asks the cluster here for something after the thread that started it has ended; the file's limit ends what hangs.
LATER = """
import threading
from flows.runtime.ray_connection import connect

def join():
    connect("local", key="cluster", otherwise="", local={"num_cpus": 1})

first = threading.Thread(target=join)
first.start()
first.join()

import ray

@ray.remote
def answer():
    return 42

print(ray.get(answer.remote()))
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_cluster_here_outlives_the_thread_that_asked_for_it():
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
