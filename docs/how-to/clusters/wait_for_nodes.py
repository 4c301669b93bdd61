"""Wait until a Ray cluster has so many nodes: `python wait_for_nodes.py 3 [MINUTES]`.

A run looks at the cluster when it starts: without a GPU in it replicas would be put on cores, and with room for one
model only, policy and reward model take turns.
"""

import os
import sys
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray


def main(wanted: int, minutes: float) -> int:
    """0 once there are as many, 1 where there are not after so many minutes.

    Args:
        wanted: nodes, with the head.
        minutes: to wait, for the head too.
    """
    ends = time.monotonic() + 60 * minutes
    found = 0
    while time.monotonic() < ends:
        try:
            if not ray.is_initialized():
                ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
            found = sum(bool(node["Alive"]) for node in ray.nodes())
        except ConnectionError:
            found = 0
        if found >= wanted:
            return 0
        time.sleep(2)
    sys.stderr.write(f"{found} of {wanted} Ray nodes after {minutes:g} minutes\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0))
