"""The account of expensive calls: what is finished is counted once, whatever failed on the way."""

import pyarrow as pa
import pytest

from flows.models import engine_calls
from flows.models.crew import Paid
from flows.models.engine_calls import Batch, Calls, pay_for, rebatched
from transforms.asking.ledger import Ledger
from transforms.engines.fakes import FakeRewards
from transforms.engines.protocol import ScoreRequest, no_progress
from transforms.errors import EngineError, OutputError
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import SCORES

REQUESTS = [ScoreRequest(name, [1, 2, 3]) for name in "abcd"]


def ask(engine, requests, progress):
    rewards = engine.score(requests, progress)
    rows = {
        "request_id": [r.request_id for r in requests],
        "reward": rewards,
        "tokens": [3] * len(requests),
        "objectives": [None] * len(requests),
    }
    return Paid(pa.table(rows, schema=SCORES), 3 * len(requests))


class Half(FakeRewards):
    """Reports one finished request before every failure."""

    def score(self, requests, progress):
        if self.calls + 1 in self._fail_at:
            progress(1, 3)
        return super().score(requests, progress)


class Counter:
    def __init__(self):
        self.requests = self.tokens = 0

    def __call__(self, requests, tokens=0, *, reused=False):
        self.requests += requests
        self.tokens += tokens


@pytest.fixture
def made(tmp_path):
    def make(*engines, ask=ask):
        ledger = Ledger(str(tmp_path / "ledger"), "scores", FakeRewards().identity)
        spend = SpendRecord(requests=0, generated=0, reused=0, tokens_generated=0, tokens_reused=0)
        waiting = iter(engines)
        return Calls(ledger, spend, open_engine=lambda: next(waiting), ask=ask)

    return make


def batch(calls, names="abcd"):
    wanted = [r for r in REQUESTS if r.request_id in names]
    ids = [r.request_id for r in wanted]
    missing = set(calls.ledger.missing(ids))
    return Batch(ids, [r for r in wanted if r.request_id in missing])


def test_a_batch_that_fails_once_and_is_asked_again_is_counted_once(made):
    broken, sound = Half(fail_at=[1]), FakeRewards()
    calls, shown = made(broken, sound), Counter()
    with pytest.raises(EngineError, match="call 1"):
        calls.run(batch(calls), shown)
    assert (shown.requests, shown.tokens) == (0, 0)
    calls.run(batch(calls), shown)
    assert (shown.requests, shown.tokens) == (4, 12)
    found = calls.spend.model_dump(exclude={"seconds"})
    assert found == {
        "requests": 4,
        "generated": 4,
        "reused": 0,
        "unanswered": 0,
        "tokens_generated": 12,
        "tokens_reused": 0,
        "cached_prompt_tokens": 0,
        "prompt_tokens": 0,
        "price": None,
        "replicas": (),
        "batches": 1,
        "batches_paid_again": 0,
        "batches_failed": 1,
    }


def test_an_engine_that_failed_is_closed_and_the_next_try_opens_another(made):
    broken, sound = FakeRewards(fail_at=[1]), FakeRewards()
    calls = made(broken, sound)
    with pytest.raises(EngineError):
        calls.run(batch(calls), Counter())
    assert (broken.closed, sound.calls) == (True, 0)
    calls.run(batch(calls), Counter())
    assert (broken.calls, sound.calls) == (1, 1)


def test_what_the_ledger_holds_is_reused_and_only_the_rest_is_asked(made):
    first = made(FakeRewards())
    first.run(batch(first, "ab"), Counter())
    engine, shown = FakeRewards(), Counter()
    calls = made(engine)
    calls.run(batch(calls), shown)
    assert engine.seen == ["c", "d"]
    assert (calls.spend.requests, calls.spend.generated, calls.spend.reused) == (4, 2, 2)
    assert shown.requests == 4
    assert [calls.reused(name) for name in "abcd"] == [True, True, False, False]


def test_a_finished_batch_opens_no_engine(made):
    first = made(FakeRewards())
    first.run(batch(first), Counter())
    calls = made()
    calls.run(batch(calls), Counter())
    assert (calls.spend.requests, calls.spend.reused, calls.spend.batches) == (4, 4, 0)


def test_a_batch_that_the_ledger_could_not_keep_is_not_counted_as_made(made, monkeypatch):
    calls = made(FakeRewards())

    def full(*_):
        raise OutputError("no space")

    monkeypatch.setattr(calls.ledger, "append", full)
    with pytest.raises(OutputError):
        calls.run(batch(calls), Counter())
    assert (calls.spend.requests, calls.spend.generated, calls.spend.batches) == (0, 0, 0)


def test_a_batch_that_never_came_back_counts_as_paid_again(made):
    def killed(*_):
        raise KeyboardInterrupt

    first = made(FakeRewards(), ask=killed)
    with pytest.raises(KeyboardInterrupt):
        first.run(batch(first), Counter())
    calls = made(FakeRewards())
    calls.run(batch(calls), Counter())
    assert (calls.spend.batches_paid_again, calls.spend.batches_failed) == (1, 0)


def test_batches_are_cut_from_the_whole_list_with_each_id_once(made):
    ledger = made().ledger
    asked = [ScoreRequest(name, [1]) for name in "abacdbe"]
    assert [batch.ids for batch in rebatched(asked, 2, ledger)] == [["a", "b"], ["c", "d"], ["e"]]


def test_what_is_finished_changes_no_batch_only_what_is_missing_of_it(made):
    # A resumed run must repeat the batches of the run that died: what a batch holds changes its numbers.
    first = made(FakeRewards())
    first.run(batch(first, "ac"), Counter())
    batches = list(rebatched(REQUESTS, 2, made().ledger))
    assert [b.ids for b in batches] == [["a", "b"], ["c", "d"]]
    assert [[r.request_id for r in b.missing] for b in batches] == [["b"], ["d"]]


def test_accounts_add_up_and_a_price_is_of_those_that_state_one():
    counts = {"requests": 2, "generated": 1, "reused": 1, "tokens_generated": 5, "tokens_reused": 3}
    one = SpendRecord(**counts, prompt_tokens=9, price=0.5)
    assert one.plus(SpendRecord.nothing()) == SpendRecord.nothing().plus(one) == one
    both = one.plus(one)
    assert (both.requests, both.tokens_generated, both.prompt_tokens, both.price) == (4, 10, 18, 1.0)
    assert SpendRecord.nothing().plus(SpendRecord.nothing()).price is None


def test_a_batch_that_another_run_is_paying_for_is_waited_for_and_reused(made, monkeypatch):
    mine, theirs = made(FakeRewards()), made(FakeRewards())
    theirs.ledger.start(list("ab"))

    def they_finish(_seconds):
        rows = ask(FakeRewards(), REQUESTS[:2], no_progress).rows
        theirs.ledger.append(list("ab"), rows)

    monkeypatch.setattr(engine_calls.time, "sleep", they_finish)
    shown = Counter()
    pay_for(lambda _name, work: work(), "score", mine, rebatched(REQUESTS, 2, mine.ledger), shown)
    assert (mine.spend.requests, mine.spend.generated, mine.spend.reused) == (4, 2, 2)
    assert shown.requests == 4
    assert [mine.reused(name) for name in "abcd"] == [True, True, False, False]


def test_a_batch_whose_run_is_gone_is_paid_for_after_all(made, monkeypatch):
    mine, theirs = made(FakeRewards()), made(FakeRewards())
    theirs.ledger.start(list("ab"))
    monkeypatch.setattr(engine_calls.time, "sleep", lambda _seconds: theirs.ledger.let_go(list("ab")))
    pay_for(lambda _name, work: work(), "score", mine, rebatched(REQUESTS, 2, mine.ledger), Counter())
    assert (mine.spend.generated, mine.spend.batches_paid_again) == (4, 1)
