"""`kill -9` in the middle of the starter run, again and again, then a look at what was lost and what was paid twice.

    python benchmarks/kill.py
    python benchmarks/kill.py --at 3 20 completions:1 scores:4 path:.work/dataset
    python benchmarks/kill.py --program flows.generate --with batch=64

Runs the starter once undisturbed, then with a ledger of its own kills a run at each of the moments in turn, and lets
the last one finish. Both start from models that are made already. A moment is a number of seconds after the start;
`completions:N` or `scores:N`, a second after N batches are in the ledger and the next was begun; or `path:P`, as soon
as P is there in the output folder.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = ["flows.curate"]  # with flags of its own
MOMENTS = [
    *("3", "12"),
    *("completions:0", "completions:1", "completions:2"),
    *("scores:0", "scores:2", "scores:5"),
    *("path:.work/dataset", "path:.work/report.html"),
]


def command(folder: Path, name: str) -> list[str]:
    return [
        *(sys.executable, "-m", PROGRAM[0], *PROGRAM[1:]),
        *("--output.dir", str(folder / name), "--ledger", str(folder / f"ledger-{name}")),
    ]


def run_to_the_end(folder: Path, name: str) -> float:
    """Seconds of a run that nobody disturbs."""
    start = time.monotonic()
    subprocess.run(command(folder, name), cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - start


def wait_for(moment: str, folder: Path, ledger: Path, running: "subprocess.Popen[bytes]") -> None:
    """Return at the moment, or when the run has ended by itself."""
    kind, _, what = moment.partition(":")
    if not what:
        time.sleep(float(moment))
        return
    while running.poll() is None:
        if kind == "path" and (folder / what).exists():
            return
        if kind != "path" and batches(ledger, kind, "part") >= int(what) and batches(ledger, kind, "started"):
            time.sleep(1)
            return
        time.sleep(0.001 if kind == "path" else 0.1)


def batches(ledger: Path, kind: str, state: str) -> int:
    """Batches of a kind that are kept (`part`) or begun (`started`)."""
    return len(list((ledger / kind).rglob(f"{state}-*")))


def kill_at(folder: Path, name: str, moment: str) -> str:
    """Start, kill -9, and say where the run was."""
    ledger = folder / f"ledger-{name}"
    process = subprocess.Popen(
        command(folder, name), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(moment, folder / name, ledger, process)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (folder / name / "manifest.json").exists():
        return "had finished"
    kinds = ("completions", "scores")
    state = " and ".join(f"{batches(ledger, kind, 'part')} batches of {kind}" for kind in kinds)
    begun = [kind for kind in kinds if batches(ledger, kind, "started")]
    work = sorted(path.name for path in (folder / name / ".work").glob("*"))
    where = f"one of {begun[0]} begun" if begun else f"no batch begun, work folder holds {', '.join(work) or 'nothing'}"
    return f"{state} in the ledger, {where}{' (ended by itself!)' if ended else ''}"


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file of the dataset."""
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.*"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", nargs="+", default=MOMENTS, metavar="MOMENT")
    parser.add_argument("--straight", type=Path, help="the folder of an undisturbed starter run, to save one")
    parser.add_argument("--program", default="flows.curate", choices=["flows.curate", "flows.generate"])
    parser.add_argument("--with", nargs="+", default=[], metavar="KEY=VALUE", dest="flags", help="keys of the recipe")
    arguments = parser.parse_args()
    flags = [word for flag in arguments.flags for word in ("--" + flag.partition("=")[0], flag.partition("=")[2])]
    PROGRAM[:] = [arguments.program, *flags]
    straight = arguments.straight
    folder = Path(tempfile.mkdtemp())
    try:
        if straight is None:
            print(f"undisturbed run: {run_to_the_end(folder, 'straight'):.0f} s")
            straight = folder / "straight"
        for number, moment in enumerate(arguments.at, 1):
            print(f"kill {number:>2} at {moment}: {kill_at(folder, 'killed', moment)}", flush=True)
        print(f"last run: {run_to_the_end(folder, 'killed'):.0f} s")
        expected = json.loads((straight / "manifest.json").read_text())
        found = json.loads((folder / "killed" / "manifest.json").read_text())
        again = [line for path in (folder / "ledger-killed").rglob("interrupted.jsonl") for line in path.open()]
        paid = sum(json.loads(line)["requests"] for line in again)
        print(f"version equal:           {found['version'] == expected['version']} ({found['version']})")
        for table in ("dataset", "responses"):
            same = digest(folder / "killed" / table) == digest(straight / table)
            print(f"{table + ' byte-identical:':<24} {same}")
        print(f"batches paid twice:      {len(again)} in {len(arguments.at)} kills ({paid} requests)")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
