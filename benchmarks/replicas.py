"""Completions a second by replicas, against one engine in one process, and whether the tokens are the same.

    python benchmarks/replicas.py --prompts 48 --rounds 3
    python benchmarks/replicas.py --kill 10

SmolLM2 by vLLM in float32, four completions of 64 new tokens a prompt. Each way answers the same fixed batches: one
engine on one core without a crew, one Ray replica on one core, two Ray replicas and two processes on a core each.
Rounds alternate, the first batch of every engine is not counted, and loading is not either. The engine without a crew
runs in a process of its own, so that its threads stay on the core that it was given.

With `--kill` two processes answer while one of them is killed by signal 9, again and again, half a second to eight
seconds after the last time: the same tokens, and how many batches were asked twice.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import cycle, product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

NEW_TOKENS, SAMPLES, BATCH = 64, 4, 16
TOPICS = ("rain", "bridges", "the sea", "an old clock", "bread", "a lost letter", "chess", "winter", "maps", "bees")
FORMS = ("Tell me about {}.", "Write a short story about {}.", "What should a child know of {}?", "Describe {}.")


def requests_of(prompts: int) -> list[Any]:
    """The request list, prompt by prompt."""
    import numpy as np

    from flows.models.recipe_models import resolve_policy
    from transforms.asking.requests import completion_id, request_seed
    from transforms.engines.protocol import CompletionRequest
    from transforms.engines.tokenizer import load_tokenizer

    identity, tokenizer = resolve_policy(config()).identity, load_tokenizer("smollm2")
    found = []
    asked = cycle(product(TOPICS, FORMS))
    for number in range(prompts):
        topic, form = next(asked)
        turn = [{"role": "user", "content": f"{form.format(topic)} ({number})"}]
        ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
        for sample in range(SAMPLES):
            facts = {
                "seed": request_seed(0, str(number), "answer", 0, sample),
                "sample_index": sample,
                "max_tokens": NEW_TOKENS,
            }
            key = completion_id(identity, sampling(), np.asarray(ids), facts)
            found.append(CompletionRequest(key, ids, **facts))
    return found


def config() -> Any:
    from flows.recipe.models import PolicyConfig

    return PolicyConfig(model="smollm2", engine="vllm", dtype="float32", kv_cache_gib=0.5)


def sampling() -> Any:
    from transforms.engines.protocol import Sampling

    return Sampling(1.0, 1.0, (2,))


def crew_of(way: str) -> Any:
    """The replicas of one way to answer."""
    from flows.models.recipe_models import resolve_policy
    from flows.recipe.cluster import ClusterConfig
    from flows.replicas.crew import ReplicaCrew
    from flows.replicas.engine import policy_spec
    from flows.replicas.processes import ThisMachine
    from flows.replicas.ray_cluster import RayCluster

    spec = policy_spec(resolve_policy(config()), config(), sampling(), 256)
    kind, _, number = way.partition(" ")
    if kind == "ray":
        return ReplicaCrew("policy", lambda: RayCluster(spec, ClusterConfig(address="local")), int(number))
    return ReplicaCrew("policy", lambda: ThisMachine(spec, int(number)), int(number))


def warm(crew: Any, requests: list[Any]) -> None:
    """Have every replica loaded and asked once."""
    together = threading.Barrier(crew.at_once)

    def one(_: int) -> None:
        with crew.lend() as engine:
            together.wait()  # so that no replica takes two
            engine.ask(requests[:BATCH], lambda _requests, _tokens: None)

    with ThreadPoolExecutor(crew.at_once) as pool:
        list(pool.map(one, range(crew.at_once)))


def measure(crew: Any, requests: list[Any]) -> tuple[float, str]:
    """(completions a second, hash of all tokens) of the stage: fixed batches, through the crew, into a new ledger."""
    from flows.models.engine_calls import Calls, pay_for, rebatched
    from transforms.asking.ledger import Ledger
    from transforms.records.manifest import SpendRecord

    with tempfile.TemporaryDirectory() as folder:
        from flows.models.recipe_models import resolve_policy

        ledger = Ledger(folder, "completions", resolve_policy(config()).identity)
        calls: Any = Calls(ledger, SpendRecord.nothing(), open_engine=lambda: None, ask=None, crew=crew)  # type: ignore
        start = time.monotonic()
        pay_for(again, "sample", calls, rebatched(requests, BATCH, ledger), lambda *_, **__: None)
        seconds = time.monotonic() - start
        rows = ledger.fetch([one.request_id for one in requests])
        tokens = json.dumps(sorted(zip(rows["request_id"], rows["completion_ids"].to_list(), strict=True)))
        if calls.spend.generated != len(requests):
            raise SystemExit(f"{calls.spend.generated} of {len(requests)} requests were answered")
        print(f"    paid {calls.spend.generated}, batches failed {calls.spend.batches_failed}", flush=True)
        return len(requests) / seconds, sha256(tokens.encode()).hexdigest()[:12]


def again(_name: str, work: Any) -> None:
    """As the flow's task: tried again when an engine fails."""
    from transforms.errors import EngineError

    for _ in range(3):
        try:
            work()
        except EngineError as error:
            print(f"    {error}", flush=True)
        else:
            return
    work()


def one_engine(prompts: int) -> None:
    """On the one core of this process: a line of JSON for each line that comes in."""
    from functools import partial

    from flows.models.crew import OneHere
    from flows.models.recipe_models import open_sampler, resolve_policy
    from flows.models.sampling import ask_policy

    crew = OneHere(lambda: open_sampler(resolve_policy(config()), config(), 256), partial(ask_policy, sampling()))
    requests = requests_of(prompts)
    warm(crew, requests)
    for _ in sys.stdin:
        speed, tokens = measure(crew, requests)
        print(json.dumps([speed, tokens]), flush=True)


class Alone:
    """The engine without a crew, in a process on one core."""

    def __init__(self, prompts: int) -> None:
        core = str(min(os.sched_getaffinity(0)))
        command = ["taskset", "-c", core, sys.executable, __file__, "--one-engine", "--prompts", str(prompts)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self) -> tuple[float, str]:
        tell, hear = self.process.stdin, self.process.stdout
        if tell is None or hear is None:
            raise SystemExit("it has no pipes")
        tell.write("\n")
        tell.flush()
        while True:
            line = hear.readline()
            if not line:
                raise SystemExit("the engine without a crew died")
            if line.startswith("["):
                speed, tokens = json.loads(line)
                return speed, tokens


def compare(prompts: int, rounds: int) -> None:
    requests = requests_of(prompts)
    print(f"{len(requests)} requests in batches of {BATCH}, {NEW_TOKENS} new tokens each at most", flush=True)
    alone = Alone(prompts)
    ways = ("one engine", "ray 1", "ray 2", "processes 2")
    crews = {way: crew_of(way) for way in ways[1:]}
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    tokens: dict[str, set[str]] = {way: set() for way in ways}
    for number in range(rounds):
        for way in ways if number % 2 == 0 else ways[::-1]:
            if way == "one engine":
                found = alone.measure()
            else:  # other crews hold no core meanwhile
                warm(crews[way], requests)
                found = measure(crews[way], requests)
                for one in crews[way].records[-crews[way].at_once :]:
                    print(f"    {one.name}: loaded in {one.loading_seconds:.0f} s, {one.batches} batches", flush=True)
                crews[way].close()
            speeds[way].append(found[0])
            tokens[way].add(found[1])
            print(f"round {number + 1} {way:<12} {found[0]:.2f} completions/s  tokens {found[1]}", flush=True)
    alone.process.kill()
    base = statistics.median(speeds["one engine"])
    for way in ways:
        middle = statistics.median(speeds[way])
        same = "same tokens" if tokens[way] == tokens["one engine"] else "OTHER TOKENS"
        print(f"{way:<12} {middle:.2f} completions/s, {middle / base:.2f} × one engine, {same}")


def kill(prompts: int, times: int) -> None:
    requests = requests_of(prompts)
    crew = crew_of("processes 2")
    _, expected = measure(crew, requests)
    crew.close()
    over, chance = threading.Event(), random.Random(0)
    killed: list[int] = []

    def killer() -> None:
        while len(killed) < times and not over.wait(chance.uniform(0.5, 8)):
            alive = [one for one in crew.records if not one.lost]
            pids = [int(one.node.rsplit(" ", 1)[1]) for one in alive]
            living = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
            if living:
                pid = chance.choice(living)
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                print(f"    killed {pid}", flush=True)

    thread = threading.Thread(target=killer)
    thread.start()
    _, found = measure(crew, requests)
    over.set()
    thread.join()
    lost = sum(one.lost for one in crew.records)
    crew.close()
    print(f"{len(killed)} kills, {lost} replicas lost in a batch; {'same' if found == expected else 'OTHER'} tokens")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--one-engine", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one_engine:
        one_engine(chosen.prompts)
    elif chosen.kill:
        kill(chosen.prompts, chosen.kill)
    else:
        compare(chosen.prompts, chosen.rounds)
