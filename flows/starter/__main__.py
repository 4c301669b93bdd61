"""`python -m flows.starter`: the starter's data sampled anew, or its reward model measured."""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from flows.models.starter_reward import (
    FOLDER,
    RESPONSES,
    TEMPERATURES,
    TRAINING_PAIRS,
    some_prompts,
    training_pairs,
)

if TYPE_CHECKING:
    pass

PROMPTS: Final = FOLDER / "prompts.jsonl"
MAX_NEW_TOKENS: Final = 256
SEED: Final = 0

SCHEMA: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string()),
        pa.field("category", pa.string()),
        pa.field("split", pa.string()),
        pa.field("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        pa.field("temperature", pa.float64()),
        pa.field("response", pa.string()),
        pa.field("response_ids", pa.list_(pa.int32())),
        pa.field("finished", pa.bool_()),
    ]
)
logger = logging.getLogger(__name__)


def read_prompts(path: Path = PROMPTS) -> list[dict[str, object]]:
    """The committed prompts, one a line: prompt_id, category, split, messages."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sample_responses(prompts: Sequence[dict[str, object]]) -> pa.Table:
    """One response of the starter policy to each prompt at each temperature, sorted by prompt and temperature.

    One engine call a temperature, so the same prompts give the same bytes on the same machine.
    """
    from transforms.asking.requests import request_seed
    from transforms.chat.conversation import Asked, Conversation
    from transforms.chat.encoding import encode_prompts
    from transforms.chat.tokens import ChatTokens
    from transforms.engines.models import STARTER, resolve_model
    from transforms.engines.protocol import CompletionRequest, Sampling
    from transforms.engines.select import open_completions
    from transforms.engines.tokenizer import load_tokenizer

    chat = ChatTokens(load_tokenizer(STARTER))
    policy = resolve_model(STARTER, engine="vllm")
    prompt_ids = encode_prompts(chat, [Asked(cast(Conversation, p["messages"])) for p in prompts]).ids
    engine = open_completions(policy)
    rows = []
    try:
        for temperature in TEMPERATURES:
            sampling = Sampling(temperature, 1.0, chat.stop_ids)
            requests = [
                CompletionRequest(
                    request_id=f"{prompt['prompt_id']}@{temperature}",
                    token_ids=prompt_ids.row(number).tolist(),
                    seed=request_seed(SEED, str(prompt["prompt_id"]), str(temperature), 0, 0),
                    sample_index=0,
                    max_tokens=MAX_NEW_TOKENS,
                )
                for number, prompt in enumerate(prompts)
            ]
            start = time.monotonic()
            completions = engine.complete(requests, sampling)
            tokens = sum(len(c.token_ids) for c in completions)
            seconds = time.monotonic() - start
            logger.info("temperature %s: %d tokens, %.0f tokens/s", temperature, tokens, tokens / seconds)
            for prompt, completion in zip(prompts, completions, strict=True):
                ids = np.asarray(completion.token_ids, dtype=np.int32)
                rows.append(
                    {
                        "prompt_id": prompt["prompt_id"],
                        "category": prompt["category"],
                        "split": prompt["split"],
                        "prompt": prompt["messages"],
                        "temperature": temperature,
                        "response": chat.decode(ids),
                        "response_ids": completion.token_ids,
                        "finished": completion.finish_reason == "stop",
                    }
                )
    finally:
        engine.close()
    rows.sort(key=lambda row: (str(row["prompt_id"]), float(str(row["temperature"]))))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def evaluate_reward_model() -> None:
    """Train anew and log the accuracy on the prompts that were not trained on, for neighbouring temperatures."""
    from trainers.rewards.fit import RewardTrainConfig, train_reward_model
    from transforms.chat.tokens import ChatTokens
    from transforms.engines.models import STARTER, resolve_model
    from transforms.engines.tokenizer import load_tokenizer

    chat = ChatTokens(load_tokenizer(STARTER))
    with TemporaryDirectory() as folder:
        result = train_reward_model(
            some_prompts(training_pairs("train", TRAINING_PAIRS, chat)),
            policy=Path(resolve_model(STARTER, engine="transformers").location),
            out=Path(folder) / "reward",
            config=RewardTrainConfig(),
            evaluation={f"{a} against {b}": training_pairs("test", [(a, b)], chat) for a, b in pairwise(TEMPERATURES)},
        )
    for name, found in result.evaluation.items():
        share, low, high = 100 * found.accuracy, 100 * found.low, 100 * found.high
        logger.info("held-out prompts, temperature %s: accuracy %.1f%% [%.1f, %.1f]", name, share, low, high)


def write_figures(responses: pa.Table, card: Path = FOLDER / "README.md") -> None:
    """Renew the card's table of figures from the responses."""
    frame = pl.DataFrame(pl.from_arrow(responses)).with_columns(tokens=pl.col("response_ids").list.len())
    table = [
        "| temperature | responses | finished | mean tokens | median tokens |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    measures = [
        pl.len(),
        pl.col("finished").sum(),
        pl.col("tokens").mean().round(1).alias("mean"),
        pl.col("tokens").median().alias("median"),
    ]
    rows = frame.group_by("temperature").agg(measures).sort("temperature").iter_rows()
    table += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    before, _, rest = card.read_text(encoding="utf-8").partition("<!-- figures:begin -->")
    _, _, after = rest.partition("<!-- figures:end -->")
    middle = "\n".join(["<!-- figures:begin -->", *table, "<!-- figures:end -->"])
    card.write_text(before + middle + after, encoding="utf-8")


def main() -> int:
    """Sample the starter data anew, or measure the starter reward model."""
    parser = argparse.ArgumentParser(prog="python -m flows.starter", description=__doc__)
    parser.add_argument("--regenerate", action="store_true", help="sample responses.parquet from prompts.jsonl")
    parser.add_argument("--output", type=Path, default=RESPONSES, help="where to write it; the card only beside it")
    parser.add_argument("--evaluate", action="store_true", help="train the reward model and print held-out accuracies")
    arguments = parser.parse_args()
    if arguments.regenerate:
        responses = sample_responses(read_prompts())
        pq.write_table(responses, arguments.output, compression="zstd")
        if arguments.output == RESPONSES:
            write_figures(responses)
    if arguments.evaluate:
        evaluate_reward_model()
    if not (arguments.regenerate or arguments.evaluate):
        parser.print_help()
    return 0


if __name__ == "__main__":
    from flows.runtime.cli import prepare_process, run_command

    prepare_process()
    run_command(main)
