"""What each replica did is in the report's rows, and what all did in a line."""

import pytest

from transforms.records.manifest import ReplicaRecord, SpendRecord
from transforms.report.replicas import replica_rows, replicas_in_words

ONE = ReplicaRecord(
    name="policy-0", node="a, process 7", batches=3, requests=12, tokens=400, seconds=8.0, loading_seconds=61.0
)
TWO = ReplicaRecord(name="policy-1", node="b (GPU 1), process 9", batches=1, requests=4, tokens=90, seconds=2.0)
LOST = ReplicaRecord(name="policy-1", node="b (GPU 1), process 8", lost=True)


def spend(*replicas, **changes):
    return SpendRecord.nothing().model_copy(update={"replicas": replicas, **changes})


def test_a_row_says_where_how_much_how_fast_and_what_became_of_it():
    assert replica_rows([spend(ONE, LOST)]) == [
        ("policy-0", "machine 1", "3", "12", "400", "50", "8.0\u00a0s", "1\u00a0min 1\u00a0s", ""),
        ("policy-1", "machine 2 (GPU 1)", "0", "0", "0", "–", "0.0\u00a0s", "0.0\u00a0s", "lost"),
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (spend(), None),
        (spend(ONE), "1 replica on 1 machine, 3 batches"),
        (spend(ONE, TWO), "2 replicas on 2 machines, 1 to 3 batches each"),
        (spend(ONE, LOST, TWO), "3 replicas on 2 machines, 1 to 3 batches each; 1 lost and replaced"),
        (
            spend(LOST, unanswered=4),
            "1 replica on 1 machine; 1 lost and replaced; 4 requests of batches that none could answer",
        ),
    ],
)
def test_a_line_counts_replicas_machines_and_losses(found, words):
    assert replicas_in_words(found) == words
