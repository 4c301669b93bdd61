"""A policy that is made of two: found like any other model once it is made."""

from dataclasses import replace
from pathlib import Path

from flows.recipe.interpolation import InterpolateConfig
from transforms.engines.interpolation import interpolated_model, refuse_adapter_folder
from transforms.engines.models import Dtype, ResolvedModel, is_folder, resolve_model
from transforms.engines.protocol import EngineName


def interpolated_policy(
    config: InterpolateConfig, *, engine: EngineName, dtype: Dtype = "bfloat16", trust_remote_code: bool = False
) -> ResolvedModel:
    """The interpolated model, made if it is not there.

    Args:
        config: names both models and the weight.
        engine: the backend that will answer; part of the identity.
        dtype: of the weights when loaded; part of the identity. What is stored is another matter.
        trust_remote_code: run Python code that comes with the models, which has to be equal.

    Returns:
        The made folder, with its content's fingerprint and a name like `interpolation of A and B at 1.1`.

    Raises:
        ModelError: a model is missing, or the two cannot be interpolated.
        OutputError: the cache directory cannot be written, or has not the space.
    """
    a, b = (
        _resolved(name, revision, engine=engine, dtype=dtype, trust_remote_code=trust_remote_code)
        for name, revision in ((config.a, config.a_revision), (config.b, config.b_revision))
    )
    made = interpolated_model(a, b, config.weight, trust_remote_code=trust_remote_code)
    model = resolve_model(made.folder, dtype=dtype, engine=engine, trust_remote_code=trust_remote_code)
    return model._replace(identity=replace(model.identity, name=made.name))


def _resolved(
    name: str, revision: str | None, *, engine: EngineName, dtype: Dtype, trust_remote_code: bool
) -> ResolvedModel:
    if is_folder(name):
        refuse_adapter_folder(Path(name).expanduser())
    return resolve_model(name, revision, dtype=dtype, engine=engine, trust_remote_code=trust_remote_code)
