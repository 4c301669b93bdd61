#!/usr/bin/env bash
# ray 2.60.0.
#
# Of two nodes that are started alike on one machine, with the same token file and RAY_AUTH_MODE not set, the second is
# refused: `ray start --head` asks for a token where ~/.ray/auth_token exists, `ray start --address` shows it only where
# RAY_AUTH_MODE is `token`. And the file is there since somebody's first `ray.init()`, which makes it unasked.
#
# Why it surprises: the same two commands worked on this machine before a script had called `ray.init()`, and nothing
# else was changed. Whom it costs what: whoever samples or scores preference data on a local Ray first, and joins machines
# to a cluster the day after. RAY_AUTH_MODE=token on every machine, or `disabled` on all of them, cures it.
#
# Seen:
#   before any ray.init(): the node joined
#   ray.init() made .ray/auth_token
#   after it: the node was refused: InvalidAuthToken
#   after it, RAY_AUTH_MODE=token: the node joined
set -euo pipefail

work=$(mktemp -d)
export HOME=$work/home RAY_USAGE_STATS_ENABLED=0
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH RAY_ADDRESS
mkdir "$HOME"
ray=$work/venv/bin/ray
stop() { # of these nodes alone; `ray stop` ends all Ray of this user
    pkill -9 -f -- "$work/[ni]" || true
    sleep 1
}
trap 'stop; rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile "ray==2.60.0"

port=26479
number=0
start() { # a node of one core; its own folder, with a short path for its sockets. Tried again: a busy machine is slow
    for _ in 1 2 3; do
        number=$((number + 1))
        if "$ray" start "$@" --num-cpus=1 --num-gpus=0 --object-store-memory=134217728 --temp-dir="$work/n$number" \
            > "$work/log" 2>&1; then
            return 0
        fi
        ! grep -q InvalidAuthToken "$work/log" || return 1
        sleep 2
    done
    cat "$work/log" >&2
    return 2
}
joined() {
    start --head --port="$port" --include-dashboard=false
    if start --address="127.0.0.1:$port"; then
        echo "the node joined"
    elif grep -q InvalidAuthToken "$work/log"; then
        echo "the node was refused: InvalidAuthToken"
    else
        echo "something else happened"
    fi
    stop
    port=$((port + 1))
}

{
    echo "before any ray.init(): $(joined)"
    port=26579
    [ ! -e "$HOME/.ray/auth_token" ]
    "$work/venv/bin/python" -c "import ray; ray.init(num_cpus=1, include_dashboard=False, _temp_dir='$work/i'); ray.shutdown()" \
        > /dev/null 2>&1
    [ -s "$HOME/.ray/auth_token" ] && echo "ray.init() made .ray/auth_token"
    echo "after it: $(joined)"
    port=26679
    export RAY_AUTH_MODE=token
    echo "after it, RAY_AUTH_MODE=token: $(joined)"
} | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
before any ray.init(): the node joined
ray.init() made .ray/auth_token
after it: the node was refused: InvalidAuthToken
after it, RAY_AUTH_MODE=token: the node joined
SEEN
