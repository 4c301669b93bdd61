"""One refresh, without Prefect: is anything new, then curate beside the last run, publish, and only then replace it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from flows.curate.plan import Plan, plan_run
from flows.publish.release import Publication
from flows.recipe.curation import Recipe
from flows.refresh.folders import Places, claimed, clear, promote
from flows.versions.output_folder import finished_run, read_manifest
from transforms.dataset.published import content_key
from transforms.errors import ConfigError, without_secrets
from transforms.records.manifest import Manifest

logger = logging.getLogger(__name__)


class Publisher(Protocol):
    """Where versions go."""

    def last(self) -> Manifest | None:
        """The manifest of the newest version, None before the first."""
        ...

    def publish(self, run: Path) -> Publication:
        """Make a finished run the next version, whole or not at all."""
        ...


@dataclass(frozen=True)
class Refreshed:
    """What one refresh did.

    Attributes:
        before: the version that stood when it began, None for the first.
        manifest: of the version that stands now.
        ran: whether it curated; else it paid nothing.
        publication: where it went, None where nothing had to be published or nothing is.
        changed: whether users get another version than before.
    """

    before: Manifest | None
    manifest: Manifest
    ran: bool
    publication: Publication | None
    changed: bool

    @property
    def message(self) -> str:
        """In a line, for the state that Prefect shows."""
        version = f"version {self.manifest.version}"
        if not self.changed:
            return f"no change since {self.manifest.finished_at} ({version})"
        done = f"published {self.publication.tag}" if self.publication else "refreshed"
        kept = f"{self.manifest.counts.kept:,} pairs kept"
        before = f", {self.before.counts.kept:,} before" if self.before else ""
        return f"{done} ({version}): {kept}{before}"


class _Made(NamedTuple):
    """The run of exactly these inputs, and where it lies."""

    manifest: Manifest
    place: Path


def refresh_once(recipe: Recipe, publisher: Publisher | None, curate: Callable[[Plan], Manifest]) -> Refreshed:
    """Bring a dataset up to date.

    Whether anything is new is known from revisions, hashes of files and identities of models: no model is loaded
    and no row is read. The last run and the last published version are replaced by a whole run only. What a refresh
    that failed had made is still there: its model calls in the ledger, its finished run in `<dir>.refresh/next`, from
    where the next refresh publishes it.

    Args:
        recipe: of the dataset. Its `output.dir` is where the last run lies.
        publisher: where versions go, None to keep them in that folder only.
        curate: runs the stages of a plan.

    Raises:
        CurationError: it could not be done; what stood before still stands.
    """
    if recipe.output.copy_to:
        message = (
            f"output.copy_to {recipe.output.copy_to}: a refresh replaces its version again and again, and a copy is "
            "of one run. Leave copy_to out; `repo` publishes each version"
        )
        raise ConfigError(without_secrets(message))
    folder = Path(recipe.output.dir).resolve()
    with claimed(folder, name=recipe.name, overwrite=recipe.output.overwrite) as places:
        logger.info("looking up sources, models and the last version")
        plan = replace(plan_run(recipe), folder=places.next)
        before = publisher.last() if publisher else read_manifest(folder)
        made = _made(plan, places)
        if before and _stands(before, plan, made, published=publisher is not None):
            done = Refreshed(before, before, ran=False, publication=None, changed=False)
        else:
            ran = made is None
            if made is None:
                clear(places.next)
                made = _Made(curate(plan), places.next)
            publication = publisher.publish(made.place) if publisher else None
            changed = publication is None or not publication.unchanged
            done = Refreshed(before, made.manifest, ran, publication, changed)
        if made and made.place == places.next:
            promote(places)
    return done


def _made(plan: Plan, places: Places) -> _Made | None:
    for place in (places.current, places.next):
        if manifest := finished_run(place, plan.fingerprint):
            return _Made(manifest, place)
    return None


def _stands(before: Manifest, plan: Plan, made: _Made | None, *, published: bool) -> bool:
    """Whether what users have is what a run of this plan would give, as far as manifests tell."""
    if not published:
        return made is not None and made.manifest == before
    # Another release of the code has another fingerprint, and may make the same.
    same = made is not None and content_key(made.manifest, {}) == content_key(before, {})
    return before.fingerprint == plan.fingerprint or same
