"""The table of all faults at all requests of a publication: what is there afterwards, and after the next try.

    python -m benchmarks.hub_faults

Against the loopback hub of the tests; a line a request and fault, a minute in all. `tag` is what users can load: none
or v1.0.0, whose files were compared with the run's. `commits` are those of both tries, `again` what the second sent
that had arrived before, in bytes.
"""

import logging
import os
import sys
import tempfile
import warnings
from itertools import product
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "tests" / "support"


def main() -> None:
    """Run every trial and print it."""
    sys.path.insert(0, str(SUPPORT))
    os.environ |= {"TQDM_DISABLE": "1", "DO_NOT_TRACK": "1"}
    warnings.filterwarnings("ignore", message="Use 'content")
    logging.disable(logging.WARNING)
    from fault_table import clean_requests, trial  # type: ignore[import-not-found]
    from loopback_hub import FAULTS, Fault  # type: ignore[import-not-found]
    from published_support import finished_run, hub_for_this_process  # type: ignore[import-not-found]
    from pytest import MonkeyPatch

    with (
        tempfile.TemporaryDirectory() as folder,
        MonkeyPatch.context() as patch,
        hub_for_this_process(patch, Path(folder)) as hub,
    ):
        run = finished_run(Path(folder) / "run", ["a1", "a2"])
        asked = clean_requests(hub, run)
        row = "{:>2} {:<78} {:<5} {:<9} {:<7} {:<7} {:>7} {:>6}"
        print(row.format("#", "request", "fault", "first", "tag", "tag 2", "commits", "again"))
        for at, kind in product(range(1, len(asked) + 1), FAULTS):
            one = trial(hub, run, Fault(kind, at))
            first = one.first if one.first == "published" else "error"
            tags = [" ".join(tags) or "none" for tags in (one.after, one.again)]
            print(row.format(at, asked[at - 1], kind, first, *tags, one.commits, one.sent_again), flush=True)


if __name__ == "__main__":
    main()
