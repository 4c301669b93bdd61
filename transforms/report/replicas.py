"""Replicas in words and rows: what each of several engines of a model did."""

from collections.abc import Iterable
from typing import NamedTuple

from transforms.dataset.redaction import numbered_machines
from transforms.records.manifest import SpendRecord
from transforms.text import count, duration


class ReplicaRow(NamedTuple):
    """A row of the table of replicas."""

    name: str
    node: str
    batches: str
    requests: str
    tokens: str
    speed: str  # tokens a second of answering
    answering: str
    loading: str
    lost: str


def replica_rows(spends: Iterable[SpendRecord]) -> list[ReplicaRow]:
    """Every replica of some accounts, in the order that they were loaded; none where one engine answered.

    Machines have numbers: a report is published, and manifest.json has their names.
    """
    found = [one for spend in spends for one in spend.replicas]
    return [
        ReplicaRow(
            one.name,
            machine,
            count(one.batches),
            count(one.requests),
            count(one.tokens),
            count(round(one.tokens / one.seconds)) if one.seconds else "–",
            duration(one.seconds),
            duration(one.loading_seconds),
            "lost" if one.lost else "",
        )
        for one, machine in zip(found, numbered_machines([one.node for one in found]), strict=True)
    ]


def replicas_in_words(spend: SpendRecord) -> str | None:
    """How many answered, where, and how unlike their shares are; None where one engine answered."""
    found = spend.replicas
    if not found:
        return None
    lost = sum(one.lost for one in found)
    alive = [one for one in found if one.batches]
    nodes = {machine.partition(" (GPU")[0] for machine in numbered_machines([one.node for one in found])}
    words = f"{_counted(len(found), 'replica')} on {_counted(len(nodes), 'machine')}"
    if alive:
        least, most = (pick(one.batches for one in alive) for pick in (min, max))
        shares = count(most) if least == most else f"{count(least)} to {count(most)}"
        words += f", {shares} batches{' each' if len(alive) > 1 else ''}"
    if lost:
        words += f"; {count(lost)} lost and replaced"
    if spend.unanswered:
        words += f"; {count(spend.unanswered)} requests of batches that none could answer"
    return words


def _counted(number: int, what: str) -> str:
    return f"{count(number)} {what}" if number == 1 else f"{count(number)} {what}s"
