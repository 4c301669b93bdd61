"""What differs between the manifests of two versions, key by key, and what a differing key can be the reason of."""

from collections.abc import Mapping
from typing import Any, Final

from transforms.dataset.published import public_manifest
from transforms.records.difference import SettingChange
from transforms.records.manifest import Manifest, ModelRecord, SourceRecord

# Keys of a recipe that change no row: names, places, speed. Models and sources are told from what was really read.
_INDIFFERENT: Final = (
    "name", "ledger", "cluster", "report_to", "output", "policy", "reward", "tokenizer", "sources", "sampling.batch",
    "consistency.keep_loaded", "preparation",
)  # fmt: skip
# Keys that recipes had not before, and what they were then.
_CAME_LATER: Final = {"consistency.estimator": "counts", "budget.purpose": "both", "proxy.values": False}
# How a model answered; its name and where it was found change nothing.
_ANSWERS: Final = ("fingerprint", "dtype", "engine", "quantization", "adapter")
_PLACE: Final = ("path", "revision", "label", "name", "split")


def setting_changes(old: Manifest, new: Manifest) -> list[SettingChange]:
    """Every key that differs and can have changed a row, sources first, in the order of a run's stages."""
    old, new = public_manifest(old), public_manifest(new)  # a published version's is one already
    recipes = [_recipe(one.config) for one in (old, new)]
    code = [
        {"git_commit": one.git_commit, **{f"packages.{k}": v for k, v in one.packages.items()}} for one in (old, new)
    ]
    found = [
        *_differences("data", *(_data(one.sources) for one in (old, new))),
        *_differences("recipe", *(_source_options(one) for one in (old, new))),
        *_differences("model", *(_models(one) for one in (old, new))),
        *_differences("truncation", *(_part(recipe, "truncate.") for recipe in recipes)),
        *_differences("recipe", *(_part(recipe, "truncate.", within=False) for recipe in recipes)),
        *_differences("code", *code),
    ]
    if (old.policy is None) != (new.policy is None):
        engines = [(one.config.get("policy") or {}).get("engine") for one in (old, new)]
        found.append(SettingChange(kind="recipe", key="policy.engine", old=engines[0], new=engines[1]))
    return found


def changed_models(old: Manifest, new: Manifest) -> list[str]:
    """Which of policy, reward and tokenizer answer otherwise; a model that one version has not is no change."""
    found = [
        role
        for role, one, other in (("policy", old.policy, new.policy), ("reward", old.reward, new.reward))
        if one is not None and other is not None and _answers(one) != _answers(other)
    ]
    return found + (["tokenizer"] if old.tokenizer.sha256 != new.tokenizer.sha256 else [])


def _answers(model: ModelRecord) -> list[str | None]:
    return [getattr(model, name) for name in _ANSWERS]


def _differences(kind: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SettingChange]:
    keys = list(dict.fromkeys([*old, *new]))
    return [
        SettingChange(kind=kind, key=key, old=old.get(key), new=new.get(key))
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _data(sources: list[SourceRecord]) -> dict[str, Any]:
    return {
        f"sources.{one.label}.{name}": getattr(one, name)
        for one in sources
        for name in ("path", "revision", "fingerprint", "raw_rows", "pairs")
    }


def source_options(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Options of each source by its label, without where it lies."""
    configs = manifest.config.get("sources") or []
    return {
        record.label: {key: value for key, value in config.items() if key not in _PLACE}
        for record, config in zip(manifest.sources, configs, strict=False)
    }


def _source_options(manifest: Manifest) -> dict[str, Any]:
    return {
        f"sources.{label}.{key}": value
        for label, options in source_options(manifest).items()
        for key, value in options.items()
    }


def _models(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for role, model in (("policy", manifest.policy), ("reward", manifest.reward)):
        if model is not None:
            found |= {f"{role}.{name}": value for name, value in model.model_dump().items()}
    return {**found, "tokenizer.name": manifest.tokenizer.name, "tokenizer.sha256": manifest.tokenizer.sha256}


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    plain = _flat(config)
    for key, meant in _CAME_LATER.items():
        if key.partition(".")[0] in config:
            plain.setdefault(key, meant)
    kept = {
        key: value
        for key, value in plain.items()
        if not any(key == name or key.startswith(f"{name}.") for name in _INDIFFERENT)
    }
    return kept | {key: plain[key] for key in ("output.test_size",) if key in plain}


def _part(recipe: Mapping[str, Any], start: str, *, within: bool = True) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key.startswith(start) == within}


def _flat(config: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{start}{key}.")
        else:
            found[f"{start}{key}"] = value
    return found
