"""How fast pairs become shards: load → tokens → POET keeps → Arrow shards, against two yardsticks in one run.

(a) the physical limit: the tokenizer alone (`encode_batch_fast`) on the same texts and cores, nothing kept;
(b) the peer: TRL's DPOTrainer preparing the same pairs (its tokenised dataset, no shards, no truncation);
and peak memory at two sizes, which should not grow with the data.

    python benchmarks/prepare.py --responses alpacaeval_responses.parquet --pairs 64000

`--responses` is a Parquet file with instruction, model, response and win_prob, one row a response: two responses
of one instruction make a pair, the higher win_prob is chosen. Each measurement runs in a process of its own.
"""

import argparse
import copy
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def draw_pairs(responses: Path, count: int, out: Path, seed: int = 0) -> None:
    """Distinct random pairs as TRL's explicit-prompt conversational Parquet, shuffled."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(seed)
    groups = pl.read_parquet(responses).group_by("instruction", maintain_order=True).agg("response", "win_prob")
    candidates = [
        (group, first, second)
        for group, (wins, texts) in enumerate(
            zip(groups["win_prob"].to_list(), groups["response"].to_list(), strict=True)
        )
        for first, second in combinations(range(len(wins)), 2)
        if wins[first] != wins[second]
        and texts[first] != texts[second]
        and texts[first].strip()
        and texts[second].strip()
    ]
    chosen = rng.sample(candidates, count)
    message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    schema = pa.schema([("prompt", message), ("chosen", message), ("rejected", message)])
    prompts, texts, wins = (groups[name].to_list() for name in ("instruction", "response", "win_prob"))
    with pq.ParquetWriter(out, schema) as writer:
        for start in range(0, count, 8192):
            rows = []
            for group, first, second in chosen[start : start + 8192]:
                better, worse = (first, second) if wins[group][first] > wins[group][second] else (second, first)
                rows.append(
                    {
                        "prompt": [{"role": "user", "content": prompts[group]}],
                        "chosen": [{"role": "assistant", "content": texts[group][better]}],
                        "rejected": [{"role": "assistant", "content": texts[group][worse]}],
                    }
                )
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def measure_ours(pairs: Path) -> dict[str, float]:
    """The project's own stages, as a truncate-only run calls them."""
    from flows.curate.judging import judge_parts
    from flows.curate.loading import load, prepare_parts
    from flows.curate.plan import plan_run
    from flows.curate.run import Run
    from flows.curate.writing import write_data
    from flows.recipe.curation import Recipe

    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe.model_validate(
            {
                "name": "benchmark",
                "sources": [{"kind": "preference", "path": str(pairs)}],
                "truncate": {"method": "poet"},
                "policy": {"model": "smollm2", "engine": "none"},
                "output": {"dir": folder},
            }
        )
        run = Run(plan_run(recipe), Path(folder))
        start, cpu = time.perf_counter(), time.process_time()
        prepare_parts(run, load(run))
        judge_parts(run, None)
        written = write_data(run)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        rows = written.rows.collect()
        return {"seconds": seconds, "cpu": cpu, "pairs": len(rows), "tokens": _tokens(rows)}


def _tokens(rows: "object") -> int:
    return int(sum(rows[f"{name}_tokens"].sum() for name in ("prompt", "chosen", "rejected")))  # type: ignore[index]


def measure_tokenizer(pairs: Path, *, distinct: bool) -> dict[str, float]:
    """`encode_batch_fast` of every text, as a list that is thrown away; reading and rendering not counted.

    `distinct` encodes equal texts of a batch once, as this project does: what is left is its overhead.
    """
    import pyarrow.parquet as pq

    from transforms.chat.conversation import Asked
    from transforms.chat.tokens import ChatTokens
    from transforms.engines.tokenizer import load_tokenizer

    chat = ChatTokens(load_tokenizer("smollm2"))
    backend = load_tokenizer("smollm2").backend_tokenizer
    seconds, count, tokens = 0.0, 0, 0
    for batch in pq.ParquetFile(pairs).iter_batches(4096):
        rows = batch.to_pylist()
        texts = [str(text) for text in chat.template.prompts([Asked(row["prompt"]) for row in rows])]
        texts += [row[side][0]["content"] for side in ("chosen", "rejected") for row in rows]
        start = time.perf_counter()
        encoded = backend.encode_batch_fast(list(dict.fromkeys(texts)) if distinct else texts, add_special_tokens=False)
        seconds += time.perf_counter() - start
        count += len(rows)
        tokens += sum(len(e) for e in encoded)
    return {"seconds": seconds, "pairs": count, "tokens": tokens}


def measure_trl(pairs: Path) -> dict[str, float]:
    """DPOTrainer's own preparation of the same Parquet file; model loading not counted."""
    import torch
    from datasets import load_dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer

    from transforms.engines.starter_model import smollm2_folder

    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape))
    with tempfile.TemporaryDirectory() as cache:
        dataset = load_dataset("parquet", data_files=str(pairs), split="train", cache_dir=cache)
        config = DPOConfig(output_dir=cache, report_to=[], max_length=None, use_cpu=True, bf16=False)
        start = time.perf_counter()
        DPOTrainer(
            model=model, ref_model=copy.deepcopy(model), args=config, train_dataset=dataset, processing_class=tokenizer
        )
        return {"seconds": time.perf_counter() - start, "pairs": len(dataset)}


def in_process_of_its_own(what: str, pairs: Path) -> dict[str, float]:
    """Run one measurement in a new interpreter; its figures and its peak resident memory in MiB."""
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, "--file", str(pairs)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def measure(what: str, pairs: Path) -> None:
    """The child's side of `in_process_of_its_own`."""
    figures = {
        "ours": measure_ours,
        "tokenizer": lambda path: measure_tokenizer(path, distinct=False),
        "distinct": lambda path: measure_tokenizer(path, distinct=True),
        "trl": measure_trl,
    }[what](pairs)
    figures["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(figures) + "\n")


def report(responses: Path, count: int, large: int, trl_pairs: int) -> None:
    """Draw, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        files = {size: Path(folder) / f"{size}.parquet" for size in {count, large, trl_pairs} if size}
        for size, path in files.items():
            draw_pairs(responses, size, path)
        rate = {}
        for what in ("ours", "tokenizer", "distinct"):
            figures = in_process_of_its_own(what, files[count])
            rate[what] = figures["pairs"] / figures["seconds"]
            tokens = figures["tokens"] / figures["seconds"]
            print(
                f"{what:<10} {rate[what]:>8,.0f} pairs/s  {tokens:>11,.0f} tokens/s  {figures['rss']:>7,.0f} MiB peak"
            )
            if what == "ours":
                small_rss = figures["rss"]
        trl = in_process_of_its_own("trl", files[trl_pairs])
        rate["trl"] = trl["pairs"] / trl["seconds"]
        print(f"{'trl':<10} {rate['trl']:>8,.0f} pairs/s  ({trl_pairs:,} pairs)")
        print(f"\nours / tokenizer alone, every text    {rate['ours'] / rate['tokenizer']:.2f}   (target ≥ 0.85)")
        print(f"ours / tokenizer alone, equal texts once {rate['ours'] / rate['distinct']:.2f}")
        print(f"ours / TRL DPOTrainer's preparation   {rate['ours'] / rate['trl']:.2f}   (target ≥ 4)")
        if large:
            figures = in_process_of_its_own("ours", files[large])
            ratio = figures["rss"] / small_rss
            sizes = f"peak memory at {large:,} / {count:,} pairs"
            print(f"{sizes}  {figures['rss']:,.0f} / {small_rss:,.0f} MiB = {ratio:.2f}   (target ≤ 1.2)")
            print(f"pairs/s at {large:,}: {figures['pairs'] / figures['seconds']:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=Path, help="Parquet file of responses to draw pairs from")
    parser.add_argument("--pairs", type=int, default=64_000)
    parser.add_argument("--large", type=int, default=256_000, help="for the memory ratio; 0 leaves it out")
    parser.add_argument("--trl-pairs", type=int, default=8_000, help="TRL is timed on fewer: its rate is constant")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.file)
        return
    if arguments.responses is None:
        parser.error("--responses is needed")
    report(arguments.responses, arguments.pairs, arguments.large, arguments.trl_pairs)


if __name__ == "__main__":
    main()
