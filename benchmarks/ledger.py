"""What a ledger costs to open and to ask when it is large: seconds and memory by the number of answers and of parts.

    python benchmarks/ledger.py --answers 100000 400000 1600000

Makes a ledger of so many completions (64 tokens each, batches of 2,048) as runs leave it, then in a process of its own
opens it, which reads every id, and fetches the answers of 4,096 ids: of such as were asked one after the other, as runs
do for each of their parts, and of such as lie scattered over all parts, as those of a run that draws another sample.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from transforms.engines.protocol import ModelIdentity

PART_IDS = 4096


def request_id(number: int) -> str:
    """As long as a real one, and as random."""
    return blake2b(str(number).encode(), digest_size=16).hexdigest()


def fill(root: Path, answers: int, batch: int, tokens: int) -> None:
    """A ledger of so many completions, in batches."""
    import numpy as np
    import pyarrow as pa

    from transforms.asking.ledger import Ledger
    from transforms.tables.schema import COMPLETIONS

    ledger = Ledger(str(root), "completions", _identity())
    draw = np.random.default_rng(0)
    for start in range(0, answers, batch):
        ids = [request_id(number) for number in range(start, min(start + batch, answers))]
        columns = {
            "request_id": ids,
            "completion_ids": list(draw.integers(0, 49_152, (len(ids), tokens), dtype=np.int32)),
            "finish_reason": ["stop"] * len(ids),
            "seed": draw.integers(0, 2**31, len(ids)),
            "sample_index": [0] * len(ids),
            "max_tokens": [512] * len(ids),
            "cached_tokens": [0] * len(ids),
        }
        arrays = [pa.array(columns[field.name], field.type) for field in COMPLETIONS]
        table = pa.Table.from_arrays(arrays, schema=COMPLETIONS)
        ledger.append(ids, table)


def _identity() -> "ModelIdentity":
    from transforms.engines.protocol import ModelIdentity

    return ModelIdentity("benchmark", "local", "0", "float32", "transformers")


def ask(root: Path, answers: int) -> dict[str, float]:
    """Seconds to open the ledger and to fetch from it, and the memory that its ids take, in MiB."""
    import pyarrow.dataset  # noqa: F401 - the second that it takes is no ledger's

    from transforms.asking.ledger import Ledger

    before = _resident()
    start, used = time.perf_counter(), time.process_time()
    ledger = Ledger(str(root), "completions", _identity(), writable=False)
    opened, opened_cpu = time.perf_counter() - start, time.process_time() - used
    held = _resident() - before
    figures = {"answers": len(ledger), "open": opened, "open_cpu": opened_cpu, "memory": held / 2**20}
    count = min(PART_IDS, answers)
    first = (answers - count) // 2
    ways = {"near": range(first, first + count), "far": random.Random(0).sample(range(answers), count)}
    for way, numbers in ways.items():
        wanted = [request_id(number) for number in numbers]
        start, used = time.perf_counter(), time.process_time()
        found = len(ledger.fetch(wanted))
        figures[way], figures[f"{way}_cpu"] = time.perf_counter() - start, time.process_time() - used
        if found != count:
            raise SystemExit(f"{found} of {count} answers were found")
    return figures


def _resident() -> int:
    """Bytes of this process; its peak would be that of the process that started it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--batch", type=int, default=2048, help="answers a part; a curation's default is 192")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        sys.stdout.write(json.dumps(ask(arguments.ask, arguments.answers[0])) + "\n")
        return
    for answers in arguments.answers:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), answers, arguments.batch, arguments.tokens)
            files = list(Path(folder).rglob("*.parquet"))
            size = sum(path.stat().st_size for path in files)
            done = subprocess.run(
                [sys.executable, __file__, "--answers", str(answers), "--ask", folder],
                check=True, stdout=subprocess.PIPE,
            )  # fmt: skip
            found = json.loads(done.stdout)
            print(
                f"{found['answers']:,} answers in {len(files):,} parts, {size / answers:,.0f} bytes each: "
                f"opened in {found['open']:.1f} s ({found['open_cpu']:.1f} CPU) with "
                f"{1024 * 1024 * found['memory'] / answers:,.0f} bytes an id, "
                f"{PART_IDS:,} neighbours fetched in {found['near']:.2f} s ({found['near_cpu']:.2f} CPU), "
                f"scattered ones in {found['far']:.2f} s ({found['far_cpu']:.2f} CPU)",
                flush=True,
            )


if __name__ == "__main__":
    main()
