"""The starter's reward model: trained once from the starter's data, cached by all that it is made of."""

import json
import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from transforms.paths import cache_dir
from transforms.precision import precision_here

if TYPE_CHECKING:
    from transforms.chat.tokens import ChatTokens

STARTER_REWARD: Final = "starter"  # the name in a recipe's `reward.model`
ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "data_cards" / "starter"
RESPONSES: Final = FOLDER / "responses.parquet"
TEMPERATURES: Final = (0.2, 0.7, 1.1, 1.5)

# What the reward model learns from: all pairs of temperatures, so that one linear head orders them all, of half of the
# training prompts: two cores without AMX read 1,000 tokens a second, and the other half would take another 75 s.
TRAINING_PAIRS: Final = tuple(combinations(TEMPERATURES, 2))
TRAINING_PROMPTS: Final = 80

logger = logging.getLogger(__name__)


def starter_reward_model(chat: "Callable[[], ChatTokens]") -> Path:
    """Folder of the starter reward model; trained on the first call.

    Cached under the hash of everything that it is made of: training pairs, policy, trainer code with its settings, and
    float32 where this machine has no bfloat16.

    Args:
        chat: the tokens to train in, asked for only if it has to be trained.
    """
    from transforms.dataset.shards import file_sha256
    from transforms.engines.models import STARTER, resolve_model

    policy = resolve_model(STARTER, engine="transformers")
    code = sha256(b"".join(path.read_bytes() for path in trainer_files())).hexdigest()
    parts = [file_sha256(RESPONSES), policy.identity.fingerprint, code, TRAINING_PAIRS, TRAINING_PROMPTS]
    dtype = precision_here()
    if dtype != "bfloat16":
        parts.append(dtype)
    key = sha256(json.dumps(parts).encode()).hexdigest()[:12]
    folder = cache_dir() / "models" / f"starter-reward-{key}"
    if not (folder / "config.json").is_file():
        logger.info("training the starter reward model on the prompts that the recipe does not curate (once)")
        from trainers.rewards.fit import RewardTrainConfig, train_reward_model

        pairs = some_prompts(training_pairs("train", TRAINING_PAIRS, chat()))
        train_reward_model(pairs, policy=Path(policy.location), out=folder, config=RewardTrainConfig(dtype=dtype))
    return folder


def trainer_files() -> list[Path]:
    """The code that a trained model comes of: every file of trainers/, in all its rooms."""
    return sorted((ROOT / "trainers").rglob("*.py"))


def training_pairs(
    prompts: Literal["train", "test"],
    temperatures: Sequence[tuple[float, float]],
    chat: "ChatTokens",
    path: Path = RESPONSES,
) -> pa.Table:
    """Whole responses of one half of the prompts as token ids, for each (better, worse) temperature.

    Every response gets its end-of-turn, also one that ran out of room: a chat template ends each turn, so that is
    what a reward model is shown when it scores. Training without it on unfinished ones cost 10 points on 0.2/0.7 in a
    trial.
    """
    from transforms.preparation.prepare import prepare
    from transforms.preparation.truncation import Truncation
    from transforms.sources.kinds.starter import StarterOptions
    from transforms.sources.load import load_batches

    tables = [
        prepare(_ended(batch.pairs), chat, Truncation(method="none"), max_length=None).pairs
        for better, worse in temperatures
        for batch in load_batches(
            StarterOptions(kind="starter", path=str(path), prompts=prompts, better=better, worse=worse)
        )
    ]
    table = pa.concat_tables(tables)
    return table.filter(pc.is_null(table["reason"]))


def _ended(pairs: pa.Table) -> pa.Table:
    for column in ("chosen_finished", "rejected_finished"):
        place = pairs.schema.get_field_index(column)
        pairs = pairs.set_column(place, pairs.schema.field(column), pa.repeat(True, len(pairs)))
    return pairs


def some_prompts(pairs: pa.Table, count: int = TRAINING_PROMPTS) -> pa.Table:
    """The pairs of `count` prompts, chosen by the prompts' hash."""
    prompts = pc.utf8_slice_codeunits(pairs["pair_id"], 0, 16)
    chosen = sorted(set(prompts.to_pylist()))[:count]
    return pairs.filter(pc.is_in(prompts, pa.array(chosen)))
