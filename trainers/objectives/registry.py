"""What each objective needs, what can be set, and how one is added: write a function, decorate it.

    @pairwise(needs={"reference"}, source="arXiv 2305.18290, eq. 7")
    def dpo(chosen: Responses, rejected: Responses, *, beta: Positive = 0.01) -> torch.Tensor:
        return -logsigmoid(beta * (chosen.delta - rejected.delta))

The function's name is the objective's, its keyword arguments are the settings: their annotations say what is
valid, their defaults are published values where a paper names one.
"""

import inspect
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from trainers.objectives.responses import Responses
from transforms.errors import ConfigError

# lengths: |y|, which a batch always has · prompt_ratio: log-probs of the prompt too, by policy and reference.
Need = Literal["lengths", "reference", "reward", "value", "prompt_ratio"]

# What a step's loss is the mean of.
Unit = Literal["pairs", "responses", "prompts"]

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

# The reward that an objective reads off the policy, (responses,); of the responses and the settings.
Implicit = Callable[[Responses, Any], torch.Tensor]

_Loss = TypeVar("_Loss", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective as it was registered.

    Attributes:
        name: what a configuration calls it.
        function: of one `Responses` (pointwise) or of two, chosen and rejected, and its settings.
        over: what a step's loss is the mean of; prompts are means of their responses first.
        needs: what it reads beside log-probs.
        settings: model of its keyword arguments; its defaults are the published ones.
        source: paper and equation.
        implicit: the reward it reads off the policy, where `implicit_reward`'s rule does not give it.
    """

    name: str
    function: Callable[..., torch.Tensor]
    over: Unit
    needs: frozenset[Need]
    settings: type[BaseModel]
    source: str
    implicit: Implicit | None = None

    @property
    def pairwise(self) -> bool:
        """Whether it reads chosen and rejected responses apart."""
        return self.over == "pairs"


@dataclass(frozen=True, slots=True)
class BoundObjective:
    """An objective with its settings."""

    objective: Objective
    settings: BaseModel

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads beside log-probs."""
        return self.objective.needs

    def losses(self, *responses: Responses) -> torch.Tensor:
        """Not reduced: (pairs,) from chosen and rejected, or (responses,) from responses.

        Raises:
            ConfigError: something that the objective needs is missing; or one side too many or too few.
        """
        name = self.objective.name
        sides = 2 if self.objective.pairwise else 1
        if len(responses) != sides:
            what = "chosen and rejected responses" if sides == 2 else "responses, of both sides in one"
            message = f"objective {name} got {len(responses)} groups of responses, expected {sides}: {what}"
            raise ConfigError(message)
        fields = sorted(self.needs - {"lengths"})
        missing = [field for field in fields if any(getattr(side, field) is None for side in responses)]
        if missing:
            message = f"objective {name} needs {', '.join(fields)}, but the batch has no {', '.join(missing)}"
            raise ConfigError(message)
        return self.objective.function(*responses, **self.settings.model_dump())

    def implicit_reward(self, responses: Responses) -> torch.Tensor:
        """The reward that the objective takes the policy to express, (responses,); for diagnostics, detached.

        Of objectives that do not say otherwise: Δ where there is a reference and ℓ where there is none, per token
        where they read lengths, times β where they have one.
        """
        with torch.no_grad():
            if self.objective.implicit is not None:
                return self.objective.implicit(responses, self.settings)
            averaged = "lengths" in self.needs
            if "reference" in self.needs:
                read = responses.mean_delta if averaged else responses.delta
            else:
                read = responses.mean if averaged else responses.log_prob
            return float(getattr(self.settings, "beta", 1.0)) * read

    def beta_log_ratio(self, responses: Responses) -> torch.Tensor:
        """βΔ = β(ℓ − ℓ_ref) and nothing else, (responses,); for diagnostics, detached (RAO, figure 2).

        The implicit reward of DPO; that of RAO has β log Z beside it, that of DRO a value, and others are of a token.

        Raises:
            ConfigError: the responses have no reference's log-prob.
        """
        with torch.no_grad():
            return self._beta * responses.delta

    @property
    def _beta(self) -> float:
        """What DRO calls τ; 1 of an objective that has neither."""
        return float(getattr(self.settings, "beta", getattr(self.settings, "tau", 1.0)))

    def terms(self, losses: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """What the step's loss is the mean of, (pairs,), (responses,) or (prompts,).

        Args:
            losses: what `losses` returned.
            counts: responses of each prompt in the batch, at least one.
        """
        return by_prompt(losses, counts) if self.objective.over == "prompts" else losses


OBJECTIVES: Final[dict[str, Objective]] = {}


def pairwise(
    *, needs: Set[Need] = frozenset(), source: str, implicit: Implicit | None = None
) -> Callable[[_Loss], _Loss]:
    """Register a loss of (chosen, rejected, *, settings); it must return one loss a pair."""
    return _register(needs, source, "pairs", implicit)


def pointwise(
    *,
    needs: Set[Need] = frozenset(),
    source: str,
    over: Literal["responses", "prompts"] = "responses",
    implicit: Implicit | None = None,
) -> Callable[[_Loss], _Loss]:
    """Register a loss of (responses, *, settings); it must return one loss a response."""
    return _register(needs, source, over, implicit)


def by_prompt(losses: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Mean loss of each prompt's responses, (prompts,), so that a prompt with many does not weigh more.

    Args:
        losses: (responses,), prompt by prompt.
        counts: responses of each prompt, at least one; they add up to the number of losses.
    """
    return torch.stack([part.mean() for part in losses.split(list(counts))])


def objective(name: str, **settings: Any) -> BoundObjective:
    """The objective `name` with `settings`; what is left out has its published value.

    Raises:
        ConfigError: no such objective; or settings that are unknown or out of range, all of them named.
    """
    if name not in OBJECTIVES:
        message = f"objective {name!r} is unknown, expected one of {', '.join(sorted(OBJECTIVES))}"
        raise ConfigError(message)
    found = OBJECTIVES[name]
    try:
        return BoundObjective(found, found.settings(**settings))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc']))} = {problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        ]
        defaults = ", ".join(f"{key} ({field.default})" for key, field in found.settings.model_fields.items())
        message = f"objective {name}: {'; '.join(problems)}. Its settings and their defaults: {defaults}"
        raise ConfigError(message) from error


def _register(needs: Set[Need], source: str, over: Unit, implicit: Implicit | None) -> Callable[[_Loss], _Loss]:
    def register(function: _Loss) -> _Loss:
        name = function.__name__
        if name in OBJECTIVES:
            message = f"an objective {name} is registered already, from {OBJECTIVES[name].source}; choose another name"
            raise ConfigError(message)
        settings = _settings(function, sides=2 if over == "pairs" else 1)
        OBJECTIVES[name] = Objective(name, function, over, frozenset(needs), settings, source, implicit)
        return function

    return register


def _settings(function: Callable[..., Any], sides: int) -> type[BaseModel]:
    """A model of the keyword-only arguments of `function`."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    keywords = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    open_ended = [parameter.name for parameter in keywords if parameter.default is parameter.empty]
    if len(parameters) - len(keywords) != sides or open_ended:
        message = (
            f"objective {function.__name__} takes {inspect.signature(function)}, expected {sides} positional arguments"
            " and settings that are keyword-only and have a default"
        )
        raise ConfigError(message)
    fields: dict[str, Any] = {parameter.name: (parameter.annotation, parameter.default) for parameter in keywords}
    config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    return create_model(function.__name__, __config__=config, **fields)
