#!/usr/bin/env bash
# ray 2.60.0, Linux.
#
# A cluster that ray.init() starts on this machine ends with the thread that called it, not with the process: a pool's
# thread that asked first takes the cluster along when the pool is closed, and ray.is_initialized() stays true.
#
# Why it surprises: the connection is the process's, any thread may use it, and a script that calls ray.init() in its main
# thread never meets it. Ray ties the cluster's processes to their parent by PR_SET_PDEATHSIG, and to Linux the parent is
# a thread. Whom it costs what: whoever samples or scores preference data stage by stage, with a pool of threads in each.
# The first stage is fine, and in the second nothing answers. ray.init() in the main thread, or in one that stays, cures it.
#
# Seen:
#   main thread, after another thread has ended: initialized True, head processes 1
#   pool's thread, while the pool is open: initialized True, head processes 1
#   pool's thread, after the pool was closed: initialized True, head processes 0
set -euo pipefail

work=$(mktemp -d)
export HOME=$work/home RAY_USAGE_STATS_ENABLED=0
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH RAY_ADDRESS
mkdir "$HOME"
trap 'pkill -9 -f -- "$work/[ab]" || true; sleep 1; rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile "ray==2.60.0" "psutil==7.1.3"

cat > "$work/look.py" <<'PYTHON'
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import ray

who, folder = sys.argv[1:]


def start():
    for _ in range(4):  # a busy machine may not start it in time
        try:
            ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False, _temp_dir=folder)
        except Exception:
            time.sleep(2)
        else:
            return


def say(when):
    time.sleep(3)
    heads = [one for one in psutil.Process().children(recursive=True) if one.name() == "gcs_server"]
    living = sum(one.status() != psutil.STATUS_ZOMBIE for one in heads)
    print(f"{who} thread, {when}: initialized {ray.is_initialized()}, head processes {living}", flush=True)


pool = ThreadPoolExecutor(1)
if who == "main":
    start()
    pool.submit(time.sleep, 0).result()
    pool.shutdown()
    say("after another thread has ended")
    ray.shutdown()
else:
    pool.submit(start).result()
    say("while the pool is open")
    pool.shutdown()
    say("after the pool was closed")
os._exit(0)
PYTHON

{
    "$work/venv/bin/python" "$work/look.py" main "$work/a" 2> "$work/log"
    "$work/venv/bin/python" "$work/look.py" "pool's" "$work/b" 2>> "$work/log"
} | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
main thread, after another thread has ended: initialized True, head processes 1
pool's thread, while the pool is open: initialized True, head processes 1
pool's thread, after the pool was closed: initialized True, head processes 0
SEEN
