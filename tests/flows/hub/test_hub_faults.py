"""Whatever fails at whichever request: by tag there is a complete version or none, and the next try finishes.

`python -m benchmarks.hub_faults` prints the table of these trials.
"""

import pytest
from fault_table import check_tags, clean_requests, patient, trial
from hub_api import answer
from loopback_hub import FAULTS, Fault
from published_support import ONCE, REPO, SOON, finished_run, publish

from flows.hub.patience import Patience
from flows.hub.repository import Hub
from transforms.errors import OutputError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use 'content")]  # of the Hub's client


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "run", ["a1", "a2"])


@pytest.mark.parametrize("kind", FAULTS)
def test_after_a_fault_at_any_request_there_is_a_whole_version_or_none_and_a_retry_finishes(hub, run, kind):
    asked = clean_requests(hub, run)
    assert len(asked) == 21
    for at in range(1, len(asked) + 1):
        found = trial(hub, run, Fault(kind, at))
        assert found.after in ([], ["v1.0.0"]), found
        assert (found.again, found.commits) == (["v1.0.0"], 1), found
        assert found.sent_again == 0, found
        if kind in ("500", "drop", "429"):
            assert (found.after, found.first.startswith("cannot ")) == ([], True), found
        if found.first == "published":
            assert found.after == ["v1.0.0"], found


@pytest.mark.parametrize("kind", ["500", "drop", "lost", "429"])
def test_with_patience_the_same_faults_are_overcome_in_one_go(hub, run, kind):
    asked = clean_requests(hub, run)
    for at in range(1, len(asked) + 1):
        assert patient(hub, run, Fault(kind, at)).tag == "v1.0.0"
        assert check_tags(hub, run) == ["v1.0.0"]
        assert len(hub.repos[REPO].commits) == 2


def test_a_push_in_between_is_never_overcome_by_patience(hub, run):
    at = clean_requests(hub, run).index("POST /api/datasets/org/pairs/commit/main") + 1
    with pytest.raises(OutputError, match=r"somebody pushed .* Nothing was overwritten and nothing published"):
        patient(hub, run, Fault("push", at))
    assert list(hub.repos[REPO].tip.files) == ["NOTES.md"]
    assert publish(run).tag == "v1.0.0"
    assert hub.repos[REPO].tip.files["NOTES.md"] == b"pushed meanwhile"


def test_a_second_version_meets_the_same_faults_as_the_first(hub, run, tmp_path):
    publish(run)
    second = finished_run(tmp_path / "second", ["a1", "a2", "a3"])
    before = len(hub.repos[REPO].commits)
    for kind in ("drop", "lost"):
        hub.forget()
        hub.fault = Fault(kind, 12)
        made = publish(second, patience=SOON)
        assert made.tag == "v1.1.0"
    assert len(hub.repos[REPO].commits) == before + 1


def test_blobs_that_arrived_before_a_fault_are_not_sent_again(hub, run):
    at = clean_requests(hub, run).index("POST /api/datasets/org/pairs/commit/main") + 1
    found = trial(hub, run, Fault("drop", at))
    assert (len(hub.uploads), found.sent_again) == (3, 0)


def test_what_the_hub_asks_to_wait_is_waited_and_a_refusal_is_not_repeated(hub, run, monkeypatch):
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    hub.retry_after = "7"
    hub.fault = Fault("429", 1)
    publish(run, patience=SOON)
    assert waited == [7.0]
    hub.forget()
    with pytest.raises(OutputError, match=r"cannot tag v9\.0\.0: .*401"):
        Hub(REPO, token="hf_WrongWrongWrong", patience=SOON).tag("v9.0.0", hub.repos[REPO].tip.sha)
    assert len(hub.requests) == 1


def test_waits_double_with_jitter_and_end_with_the_error(hub, run, monkeypatch):
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    monkeypatch.setattr(hub, "respond", lambda request: answer(503, {"error": "down"}))
    with pytest.raises(OutputError, match=r"cannot look at the repository: .*503.* Run the same command again"):
        Hub(REPO, token=None, patience=Patience(attempts=5, first_wait=1.0)).state()
    assert len(waited) == 4
    for number, seconds in enumerate(waited):
        assert 2**number <= seconds <= 2**number + 1


def test_a_server_that_says_nothing_is_given_up(hub, run):
    publish(run)
    impatient = ONCE._replace(timeout=0.1)
    for at, what in ((1, "look at the repository"), (3, "list commits")):
        hub.forget()
        hub.fault, hub.pause = Fault("slow", at), 0.5
        with pytest.raises(OutputError, match=f"cannot {what}: ReadTimeout"):
            publish(run, patience=impatient)
