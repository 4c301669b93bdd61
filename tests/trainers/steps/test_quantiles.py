"""Quantiles are of all entries, however many batches and processes they came from."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from trainers.steps.quantiles import Quantiles


def own(total: torch.Tensor) -> torch.Tensor:
    return total


def test_quantiles_lie_on_a_line_between_neighbours() -> None:
    found = Quantiles()
    found.add({"a": torch.arange(21.0), "two": torch.tensor([10.0, 0.0])})
    assert found.found(own) == {
        "a_p05": 1, "a_p25": 5, "a_p50": 10, "a_p75": 15, "a_p95": 19,
        "two_p05": 0.5, "two_p25": 2.5, "two_p50": 5, "two_p75": 7.5, "two_p95": 9.5,
    }  # fmt: skip


def test_batches_do_not_matter_and_what_was_read_again_does_not_count() -> None:
    found = Quantiles()
    found.add({"a": torch.tensor([3.0, 1.0])})
    found.add({"a": torch.tensor([[2.0]])})
    found.add({"a": torch.tensor([1000.0])}, counts=False)
    assert found.found(own) == pytest.approx({"a_p05": 1.1, "a_p25": 1.5, "a_p50": 2, "a_p75": 2.5, "a_p95": 2.9})


def test_a_name_without_entries_and_a_measurement_without_names_have_none() -> None:
    found = Quantiles()
    assert found.found(own) == {}
    found.add({"none": torch.empty(0), "one": torch.tensor([2.0])})
    assert set(found.found(own).values()) == {2.0}
    assert not any(name.startswith("none") for name in found.found(own))


def test_every_process_knows_the_quantiles_of_all_of_them() -> None:
    parts = [[5.0, 1.0, 3.0], [], [4.0, 2.0]]
    met, told = Barrier(len(parts)), [torch.zeros(0)] * len(parts)

    def total(process: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def summed(values: torch.Tensor) -> torch.Tensor:
            told[process] = values
            met.wait(timeout=30)
            found = torch.stack(told).sum(0)
            met.wait(timeout=30)
            return found

        return summed

    def run(process: int) -> dict[str, float]:
        found = Quantiles(process=process, processes=len(parts))
        found.add({"a": torch.tensor(parts[process]), "b": torch.tensor(parts[process]) * 10})
        found.add({"a": torch.tensor([99.0]), "b": torch.tensor([99.0])}, counts=False)
        return found.found(total(process))

    with ThreadPoolExecutor(len(parts)) as pool:
        results = list(pool.map(run, range(len(parts))))
    by_hand = {"a_p05": 1.2, "a_p25": 2.0, "a_p50": 3.0, "a_p75": 4.0, "a_p95": 4.8}
    by_hand |= {name.replace("a", "b"): 10 * value for name, value in by_hand.items()}
    assert results == [pytest.approx(by_hand)] * 3
