"""What a comparison would do: its trainings' recipe read and checked, and whether the result is there already."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from flows.compare.answers import JudgedBy, date_of, plan_judging
from flows.compare.config import ComparisonConfig
from flows.compare.output import finished_comparison
from flows.runtime.config_files import CONFIGS, read_config
from flows.train.config import Kept, Pairs, TrainingRecipe
from flows.train.plan import TrainingPlan, plan_training
from flows.versions.fingerprint import evaluation_fingerprint
from transforms.errors import ConfigError
from transforms.records.comparison import Comparison


class Variant(NamedTuple):
    """One way to use the run's pairs."""

    name: str
    pairs: Pairs
    kept: Kept

    @property
    def slug(self) -> str:
        """Its name in a path."""
        return self.name.replace(" ", "-")


RAW = Variant("raw", "all", "full")


@dataclass(frozen=True)
class ComparisonPlan:
    """A configuration with everything that it names found and identified."""

    config: ComparisonConfig
    base: TrainingRecipe  # as it was written, but for `changes`
    shared: TrainingPlan  # of the raw variant: run, model and context are those of all
    judged_by: JudgedBy | None  # how answers are judged, where they are
    fingerprint: str  # of configuration, data, model and code
    finished: Comparison | None  # what lies in the output folder, if it is exactly this one and nothing failed

    @property
    def folder(self) -> Path:
        """Where the result goes."""
        return Path(self.config.output.dir)

    @property
    def variants(self) -> list[Variant]:
        """In the configuration's order."""
        return [variant_of(value) for value in self.config.variants]

    def recipe(self, variant: Variant, *, seed: int, steps: int, name: str) -> TrainingRecipe:
        """The training of a variant; the same recipe but for data, seed, steps and where it goes."""
        return _recipe(self.config, self.base, variant, seed=seed, steps=steps, name=name)


def plan_comparison(config: ComparisonConfig) -> ComparisonPlan:
    """Find run and model; no pair is read and no weights are loaded.

    Raises:
        ConfigError: a training recipe that is missing, does not fit or takes no steps, or no prompts to hold out.
        SourceError: no curated run there.
        ModelError: no such model, or one with another tokenizer than the run's.
        OutputError: a comparison.json that this project did not write.
    """
    base = read_config(TrainingRecipe, Path(config.training), config.changes, shipped_in=CONFIGS / "train")
    if base.head is not None:
        message = (
            f"{config.training} fits a head alone, which takes no steps: there is no budget to hold equal. Compare "
            "with lora or all weights (leave head out and give optimisation)"
        )
        raise ConfigError(message)
    if base.dataset.responses == "all":
        message = (
            f"{config.training} trains on all responses of a prompt, and variants are ways to cut pairs: use "
            "dataset.responses: pairs"
        )
        raise ConfigError(message)
    if config.answers and base.kind == "reward":
        message = (
            f"answers: {config.training} trains reward models (kind: reward), which write nothing; leave answers out"
        )
        raise ConfigError(message)
    shared = plan_training(_recipe(config, base, RAW, seed=0, steps=1, name="shared"))
    if not (shared.recipe.dataset.test_size or shared.run.manifest.config["output"]["test_size"]):
        message = (
            f"the run {shared.recipe.dataset.path} held out no prompts (output.test_size: 0), so there are none to "
            "judge by: hold some out with --test_size 0.2"
        )
        raise ConfigError(message)
    settings = config.settings() | {"training": shared.fingerprint, "base": base.settings()}
    today = date_of(shared.run.manifest.template)
    judged_by = plan_judging(config.answers, Path(config.output.dir), base, today) if config.answers else None
    if judged_by:
        settings |= {"answered": judged_by.fingerprint}
    fingerprint = evaluation_fingerprint(settings, [], [shared.model.identity])
    finished = finished_comparison(Path(config.output.dir), fingerprint)
    return ComparisonPlan(config, base, shared, judged_by, fingerprint, finished)


def variant_of(value: str | float) -> Variant:
    """What a key of `variants` means."""
    if value == "raw":
        return RAW
    if value == "curated":
        return Variant("curated", "kept", "truncated")
    return Variant("poet", "all", "poet") if value == "poet" else Variant(f"ratio {value:g}", "all", float(value))


def _recipe(
    config: ComparisonConfig, base: TrainingRecipe, variant: Variant, *, seed: int, steps: int, name: str
) -> TrainingRecipe:
    # Nothing is measured while training: every variant would be measured on pairs cut its own way.
    dataset = {"pairs": variant.pairs, "kept": variant.kept, "splits": ("train",)}
    if config.test_size is not None:
        dataset["test_size"] = config.test_size
    changes = {
        "name": f"{config.name}-{name}",
        "dataset": base.dataset.model_copy(update=dataset),
        "optimisation": base.stepwise.model_copy(update={"epochs": None, "steps": steps, "seed": seed}),
        # An adapter alone cannot be judged without the model under it.
        "lora": base.lora.model_copy(update={"merge": True}) if base.lora else None,
        "eval_steps": None,
        "keep_best": None,
        "keep_checkpoints": None,
        "output": base.output.model_copy(
            update={"dir": str(Path(config.output.dir) / "trainings" / name), "overwrite": False, "resume": True}
        ),
    }
    return base.model_copy(update=changes)
