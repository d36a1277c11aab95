"""A loss that depends on who else is in the batch: however a batch is divided, its step is the same."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from whole_batch_steps import GROUPS, Towers, batch_of, steps, training_of

from models.losses import matching_loss

SCRIPT = Path(__file__).with_name("whole_batch_steps.py")


def close(found: dict, expected: dict) -> None:
    for name in set(expected) - {"pieces"}:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)


def in_batches(size: int) -> list[list[list[int]]]:
    """Two steps over 32 samples each, in batches of this size."""
    return [[order[first:first + size] for first in range(0, 32, size)]
            for order in (list(range(32)), list(range(39, 7, -1)))]


def test_a_step_is_that_of_the_plain_loss_over_the_whole_batch():
    found, net = steps(Towers(), in_batches(32)), Towers()
    training = training_of(net)
    losses = []
    for [indices] in in_batches(32):
        batch = batch_of(indices)
        outputs = net(batch["video"], batch["label"])
        loss = matching_loss(outputs["video"], outputs["text"], batch["label"], outputs["scale"].mean())
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        losses.append(loss.item())
    close(found, {**net.state_dict(), "loss": torch.tensor(32 * sum(losses)), "clips": torch.tensor(64)})


@pytest.mark.parametrize("size", [8, 5, 1])
def test_accumulated_batches_make_the_step_of_one_large_one(size):
    net = Towers()
    found = steps(net, in_batches(size))
    close(found, steps(Towers(), in_batches(32)))
    assert net.passes == 2 * 2 * -(-32 // size)


def test_a_batch_that_does_not_fit_is_halved_and_makes_the_same_step():
    found = steps(Towers(most=9), in_batches(16), halve_when_full=True)
    close(found, steps(Towers(), in_batches(32)))
    assert found["pieces"] == 2


def test_both_passes_draw_the_same_dropout_and_count_once_for_batch_norm():
    """Otherwise the gradient would belong to other outputs than those whose loss was computed."""
    net = Towers(dropout=0.4)
    seen = []
    net.dropout.register_forward_hook(lambda module, given, output: seen.append(output.detach().clone()))
    found = steps(net, [in_batches(16)[0]])
    assert len(seen) == 8      # two passes over two batches, in two towers
    for one, other in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(one == 0, other == 0) and (one == 0).any()
    assert not torch.equal(seen[0] == 0, seen[2] == 0)
    assert found["norm.num_batches_tracked"] == 2


def test_a_step_whose_loss_is_not_finite_changes_nothing():
    net = Towers()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        net.scale.fill_(200)      # exp overflows
        before["scale"] = net.scale.clone()
    with pytest.raises(AssertionError):
        steps(net, in_batches(8)[:1])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_two_processes_train_as_one_does_also_where_one_has_no_clip(tmp_path):
    processes = [subprocess.Popen([sys.executable, SCRIPT, str(rank), "2", tmp_path]) for rank in range(2)]
    expected = steps(Towers(), GROUPS)
    try:
        assert [process.wait(120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    close(first, expected)
    close(second, expected)
