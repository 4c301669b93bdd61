#!/usr/bin/env bash
# A curation on one machine of Hugging Face Jobs, with a replica on each of its GPUs. From the checkout:
#   BUCKET=my-org/curation bash docs/how-to/clusters/hf_jobs.sh [--dry-run]
# docs/how-to/run-on-a-cluster.md explains it.
set -euo pipefail

bucket=${BUCKET:?the bucket that keeps ledger and output, as my-org/curation}
recipe=${RECIPE:-flows/configs/ultrafeedback-poet.yaml}
flavor=${FLAVOR:-a100x4}
image=${IMAGE:-python:3.12} # make installs the rest, of the CUDA lock
timeout=${TIMEOUT:-24h}
: "${HF_TOKEN:?a token that may run jobs and write to the bucket}"

# What the job runs. It computes on its own disk and copies to the bucket: a mounted bucket has no locks, and a file's
# writes are lost until it is closed.
job=$(cat <<'JOB'
set -euo pipefail
mkdir -p /work && tar -xf /checkout/checkout.tar -C /work && cd /work
make .venv/ready ACCELERATOR=cuda
source .venv/bin/activate
# Batches that are in flight stay out: nobody works on them when the next machine reads the ledger.
ledger=(--exclude '*tmp-*' --exclude '*started-*')
keep() {
    mkdir -p ledger && hf buckets sync ledger "hf://buckets/$BUCKET/ledger" --quiet "${ledger[@]}"
}
hf buckets sync "hf://buckets/$BUCKET/ledger" ledger --quiet # or the job fails: without it all would be paid again
keep_now_and_then() {
    trap 'kill "$nap"; exit' TERM
    while true; do
        sleep 300 &
        nap=$!
        wait "$nap"
        keep || echo "the ledger was not copied, and is next time"
    done
}
keep_now_and_then &
copies=$!
driver=
trap 'kill "$copies"; keep' EXIT
trap 'kill -TERM "$driver"; wait "$driver"; exit 143' TERM
gpus=$(nvidia-smi -L | wc -l)
name=$(basename "$RECIPE" .yaml)
python -m flows.curate "$RECIPE" --policy.data_parallel "$gpus" --reward.data_parallel "$gpus" \
    --ledger ledger --output.dir "runs/$name" &
driver=$!
wait "$driver"
hf buckets sync "runs/$name" "hf://buckets/$BUCKET/runs/$name" --quiet
JOB
)

checkout=$(mktemp -d)
trap 'rm -rf "$checkout"' EXIT
git archive --output "$checkout/checkout.tar" HEAD # what is committed
if [ "${1:-}" != --dry-run ]; then
    hf buckets create "$bucket" --private --exist-ok
    echo "of python -m flows.curate" > "$checkout/README"
    hf buckets cp "$checkout/README" "hf://buckets/$bucket/ledger/README" # so that there is a ledger to fetch
fi
hf jobs run "$@" --name curate --namespace "${bucket%%/*}" --flavor "$flavor" --timeout "$timeout" --attempts 3 --detach \
    --secrets HF_TOKEN --env "BUCKET=$bucket" --env "RECIPE=$recipe" --volume "$checkout:/checkout" \
    "$image" bash -c "$job"
