"""`kill -9` in the middle of the starter run, again and again, then a look at what was lost and what was paid twice.

    python benchmarks/kill.py --seconds 2 8 15 22 30 38 46 55 65 75

Runs the starter once undisturbed, then with a ledger of its own kills a run that many seconds after its start, once
for each number, and lets the last one finish. Both start from models that are made already.
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


def command(folder: Path, name: str) -> list[str]:
    return [
        *(sys.executable, "-m", "flows.curate"),
        *("--output.dir", str(folder / name), "--ledger", str(folder / f"ledger-{name}")),
    ]


def run_to_the_end(folder: Path, name: str) -> float:
    """Seconds of a run that nobody disturbs."""
    start = time.monotonic()
    subprocess.run(command(folder, name), cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - start


def kill_after(folder: Path, name: str, seconds: float) -> str:
    """Start, kill -9, and say where the run was."""
    process = subprocess.Popen(
        command(folder, name), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (folder / name / "manifest.json").exists():
        return "had finished"
    ledger = folder / f"ledger-{name}"
    done = {kind: len(list((ledger / kind).rglob("part-*"))) for kind in ("completions", "scores")}
    running = [path.parts[-3] for path in ledger.rglob("started-*")]
    state = f"{done['completions']} completion and {done['scores']} score batches in the ledger"
    return f"{state}, in the middle of {running or 'no batch'}{' (ended by itself!)' if ended else ''}"


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file of the dataset."""
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.*"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2, 8, 15, 22, 30, 38, 46, 55, 65, 75])
    parser.add_argument("--straight", type=Path, help="the folder of an undisturbed starter run, to save one")
    seconds = parser.parse_args().seconds
    straight = parser.parse_args().straight
    folder = Path(tempfile.mkdtemp())
    try:
        if straight is None:
            print(f"undisturbed run: {run_to_the_end(folder, 'straight'):.0f} s")
            straight = folder / "straight"
        for number, after in enumerate(seconds, 1):
            print(f"kill {number:>2} after {after:>4.0f} s: {kill_after(folder, 'killed', after)}", flush=True)
        print(f"last run: {run_to_the_end(folder, 'killed'):.0f} s")
        expected = json.loads((straight / "manifest.json").read_text())
        found = json.loads((folder / "killed" / "manifest.json").read_text())
        again = [line for path in (folder / "ledger-killed").rglob("interrupted.jsonl") for line in path.open()]
        paid = sum(json.loads(line)["requests"] for line in again)
        print(f"version equal:           {found['version'] == expected['version']} ({found['version']})")
        print(f"dataset byte-identical:  {digest(folder / 'killed' / 'dataset') == digest(straight / 'dataset')}")
        print(f"batches paid twice:      {len(again)} in {len(seconds)} kills ({paid} requests)")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
