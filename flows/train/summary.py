"""What a finished training prints: before and after, what was read, how long it took and where the model is."""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from flows.train.output import CHECKPOINTS, METRICS, MODEL, PAGE
from flows.train.record import TrainingRecord
from flows.versions.run_record import QUARANTINE

# Name in metrics.jsonl → what it is in words.
SHOWN: Final = {
    "loss": "loss",
    "accuracy": "pairs whose chosen response has the higher reward",
    "margin": "reward margin",
    "mean_reward": "mean reward",
    "validation_accuracy": "training pairs in that order, each by a head that was fitted without its prompt",
    "rewards/accuracies": "pairs whose chosen response has the higher implicit reward",
    "rewards/margins": "implicit reward margin",
    "mean_logps/chosen": "log-prob of chosen responses, nats a token",
    "mean_logps/rejected": "log-prob of rejected responses, nats a token",
    "displacement": "chosen log-prob against the start, nats a token",
    "log_prob": "log-prob of completions, nats a token",
    "perplexity": "perplexity of completions, a token",
}


def figures(record: TrainingRecord) -> list[tuple[str, float, float]]:
    """(in words, before, after) of each figure that was measured."""
    found = []
    for name, words in SHOWN.items():
        key = f"eval_{name}" if f"eval_{name}" in record.after else name
        if key in record.after:
            found.append((words, record.before[key], record.after[key]))
    return found


def print_training(console: Console, record: TrainingRecord, folder: Path, *, seconds: float, unchanged: bool) -> None:
    """Print what lies in `folder`; says so where nothing had to be done."""
    if unchanged:
        console.print(f"Nothing changed since {record.finished_at}: no model was loaded.", style="bold green")
    data, trained = record.data, record.trained
    on = f"{data.test_examples:,} test examples" if data.test_examples else "the examples of the first and last step"
    if not data.test_examples and not trained.steps:
        on = "training pairs that were held out"
    table = Table(title=f"{record.name}: {record.objective['name']}, on {on}", title_justify="left")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    table.add_column("what")
    for words, before, after in figures(record):
        table.add_row(f"{before:.4f}", f"{after:.4f}", words)
    console.print(table)
    steps = f"{trained.steps:,} steps, {trained.examples:,} examples ({data.examples:,} a pass)"
    if not trained.steps:
        steps = f"the head alone, on {trained.examples:,} examples"
    console.print(
        f"trained      {steps}, {trained.kept_tokens:,} response tokens ({trained.read_tokens:,} tokens read, "
        f"{trained.layout})",
        highlight=False,
    )
    if data.rows is not None:
        found = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in data.left_out.items()]
        found += [f"{data.quarantined:,} quarantined ({QUARANTINE} says why)"] if data.quarantined else []
        console.print(f"read         {data.rows:,} rows" + (f"; {', '.join(found)}" if found else ""), highlight=False)
    if record.kept:
        kept = record.kept
        console.print(
            f"kept         the model of step {kept.step:,}: {kept.figure} {kept.value:.4f}, the best of "
            f"{kept.measurements:,} measurements",
            highlight=False,
        )
    if record.reference and "eval_kl" in record.after and record.config.get("kl_reference"):
        spend = record.reference
        console.print(
            f"kl           {record.after['eval_kl']:.4f} nats a token to the reference, estimated on test; of its "
            f"log-probs {spend.generated:,} responses read, {spend.reused:,} reused from the ledger",
            highlight=False,
        )
    if record.rewards:
        spend, left_out = record.rewards.spend, sum(record.rewards.left_out.values())
        console.print(
            f"rewards      {data.responses:,} responses; {spend.generated:,} made, {spend.reused:,} reused from the "
            f"ledger, {left_out:,} responses left out",
            highlight=False,
        )
    if not unchanged:
        stages = " · ".join(f"{stage} {value:.0f} s" for stage, value in record.seconds.items())
        console.print(f"seconds      {seconds:.0f} in all · {stages}", highlight=False)
    console.print(f"metrics      {folder / METRICS}", highlight=False)
    if (folder / PAGE).is_file():
        console.print(f"report       {folder / PAGE}", highlight=False)
    if record.config.get("keep_checkpoints"):
        console.print(f"checkpoints  {folder / CHECKPOINTS}", highlight=False)
    console.print(f"model        {folder / MODEL}", highlight=False)
