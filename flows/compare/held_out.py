"""The pairs that all variants are judged by: whole responses to prompts that none was trained on."""

from dataclasses import dataclass

import pyarrow as pa

from flows.answers.reading import tokens_key
from flows.compare.answers import Seen
from flows.compare.plan import ComparisonPlan
from flows.evaluate.data import LabelledPairs
from flows.train.pairs import read_splits, with_kept
from trainers.reading.examples import Example, check_readable, read_examples
from trainers.reading.references import read_whole
from transforms.errors import ConfigError
from transforms.records.comparison import HeldOutRecord
from transforms.tables.schema import PAIRS, PROMPT_DIGITS


@dataclass(frozen=True)
class HeldOut:
    """Labelled pairs, in the order of their ids."""

    table: pa.Table  # schema.CURATED, keeps as the context allows
    examples: list[Example]  # in the policy's tokens, chosen first
    whole: list[Example]  # the same, whatever the context
    trained: Seen
    left_out: int  # pairs with a prompt of training
    cut_by_context: int

    @property
    def names(self) -> list[str]:
        """`pair_id` of each."""
        return [example.name for example in self.examples]

    @property
    def prompts(self) -> list[str]:
        """What each pair's prompt is known by."""
        return [name[:PROMPT_DIGITS] for name in self.names]

    @property
    def labelled(self) -> LabelledPairs:
        """As text, for a model that has another way to read it."""
        nothing = pa.nulls(len(self.table))
        columns = {name: self.table[name] if name in self.table.column_names else nothing for name in PAIRS.names}
        columns |= {side: self.table[f"{side}_full"] for side in ("chosen", "rejected")}
        columns["reason"] = pa.nulls(len(self.table), pa.string())
        pairs = pa.table([columns[name] for name in PAIRS.names], names=PAIRS.names).cast(
            pa.schema([field.with_nullable(True) for field in PAIRS])
        )
        return LabelledPairs(pairs, (None,) * len(pairs))

    def record(self, rows: list[int]) -> HeldOutRecord:
        """What is said of them; `rows` are those that every model could read."""
        read = [self.examples[row] for row in rows]
        reasons = self.table["reason"].to_pylist()
        prompts = self.prompts
        return HeldOutRecord(
            pairs=len(rows),
            prompts=len({prompts[row] for row in rows}),
            dropped=sum(reasons[row] is not None for row in rows),
            left_out=self.left_out,
            cut_by_context=self.cut_by_context,
            unread=len(self.examples) - len(rows),
            tokens=sum(len(example.prompt) + example.kept_tokens for example in read),
        )


def hold_out(plan: ComparisonPlan) -> HeldOut:
    """Read the held-out pairs, those too that curation dropped: a test without them would be curated itself.

    Raises:
        ConfigError: they have fewer than two prompts.
        SchemaError: a pair that the model cannot read.
    """
    shared = plan.shared
    dataset = shared.recipe.dataset.model_copy(update={"splits": ("train", "test")})
    where = f"{dataset.path}, held out"
    tables = read_splits(shared.run._replace(dataset=dataset))
    trained = {example.prompt.tobytes(): example.prompt for example in read_whole(tables["train"], where=where)}
    test = tables["test"]
    # Ids hash messages. Two ways to write a prompt, such as with the default system message, are one to a model.
    fresh = [example.prompt.tobytes() not in trained for example in read_whole(test, where=where)] if len(test) else []
    test = test.filter(pa.array(fresh, pa.bool_()))
    found = len({key[:PROMPT_DIGITS] for key in test["pair_id"].to_pylist()})
    if found < 2:
        message = (
            f"{where}: {found} prompts, and no interval can be given for fewer than 2. Hold out more of them, such as "
            "--test_size 0.2"
        )
        raise ConfigError(message)
    kept = with_kept(test, "full", max_length=shared.context, where=where)
    examples = read_examples(kept.table, where=where)
    check_readable(examples, vocabulary=shared.vocabulary, context=shared.context, where=where)
    seen = Seen(
        frozenset(key[:PROMPT_DIGITS] for key in tables["train"]["pair_id"].to_pylist()),
        frozenset(tokens_key(prompt) for prompt in trained.values()),
    )
    whole = read_whole(test, where=where)
    return HeldOut(kept.table, examples, whole, seen, fresh.count(False), kept.cut_by_context)
