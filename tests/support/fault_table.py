"""Every request of a publication, failing in every way: what is there afterwards, and what the next try makes of it."""

from pathlib import Path
from typing import NamedTuple

from loopback_hub import Fault, LoopbackHub
from published_support import REPO, SOON, publish, published_files

from flows.publish.release import Publication
from transforms.errors import OutputError


class Trial(NamedTuple):
    """One fault at one request.

    Attributes:
        request: that failed.
        fault: how.
        first: what the try that met it said: `published`, or the error's first words.
        after: tags after it.
        again: the same after the next try, which meets nothing.
        commits: made by both tries together.
        sent_again: bytes of blobs that arrived and were sent once more.
    """

    request: str
    fault: Fault
    first: str
    after: list[str]
    again: list[str]
    commits: int
    sent_again: int


def clean_requests(hub: LoopbackHub, run: Path) -> list[str]:
    """What a publication into a new repository asks, in order."""
    start_anew(hub)
    publish(run)
    return list(hub.requests)


def start_anew(hub: LoopbackHub) -> None:
    hub.repos.clear()
    hub.blobs.clear()
    hub.forget()


def trial(hub: LoopbackHub, run: Path, fault: Fault) -> Trial:
    """Publish once with the fault and no patience, then once more without."""
    start_anew(hub)
    hub.fault = fault
    first = _outcome(run)
    after = check_tags(hub, run)
    request = hub.requests[fault.at - 1] if len(hub.requests) >= fault.at else "not reached"
    arrived = sum(map(len, hub.blobs.values()))
    sent = sum(hub.uploads)
    hub.fault = None
    publish(run)
    again = check_tags(hub, run)
    everything = sum(map(len, hub.blobs.values()))
    ours = sum("Content key" in commit.message for commit in hub.repos[REPO].commits)
    return Trial(request, fault, first, after, again, ours, sum(hub.uploads) - sent - (everything - arrived))


def patient(hub: LoopbackHub, run: Path, fault: Fault) -> Publication:
    """Publish once, with the fault and with patience."""
    start_anew(hub)
    hub.fault = fault
    return publish(run, patience=SOON)


def check_tags(hub: LoopbackHub, run: Path) -> list[str]:
    """The tags there; every one of them must be a complete version.

    Raises:
        AssertionError: one that is not.
    """

    wanted = published_files(run).files
    tags = hub.repos[REPO].tags if REPO in hub.repos else {}
    for tag, sha in tags.items():
        commit = hub.repos[REPO].at(sha)
        found = {path: content for path, content in (commit.files if commit else {}).items() if path in wanted}
        assert found == wanted, f"{tag} is not complete"
    return list(tags)


def _outcome(run: Path) -> str:
    try:
        publish(run)
    except OutputError as error:
        return str(error).removeprefix(f"{REPO}: ")
    return "published"
