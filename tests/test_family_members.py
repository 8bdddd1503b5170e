"""Every member of every family trains and is averaged with the others, a round of FlexiFed at a time."""

import numpy as np
import pytest
import torch

from hpcfl import engine
from hpcfl.build import assemble
from hpcfl.clock import VirtualClock
from hpcfl.collective import Collective
from hpcfl.jobfile import JobFile
from hpcfl.models import FAMILIES
from hpcfl.schema import JobSpec
from hpcfl.transport.group import Solo

WIDTHS = {"vgg": 1 / 16, "resnet": 1 / 4, "charcnn": 1 / 32, "vdcnn": 1 / 16}
CLIENTS = 8


@pytest.fixture
def data(tmp_path):
    """Of each family what it takes: images of 32x32, or texts of 123 characters in an alphabet of eight."""
    rng, y = np.random.default_rng(0), np.arange(48) % 3
    images, texts = rng.integers(0, 256, (48, 3, 32, 32), np.uint8), rng.integers(0, 8, (48, 123))
    for name, x, more in (("images", images, {}), ("texts", texts, {"tokens": 8})):
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6], **more)
    return lambda family: str(tmp_path / ("texts.npz" if family in ("charcnn", "vdcnn") else "images.npz"))


def parts_of(family, scheme, path):
    models = [{"name": name, "count": 2, "width": WIDTHS[family]} for name in FAMILIES[family]]
    table = {
        "rounds": 2, "data": {"name": "npz", "path": path}, "partition": {"clients": CLIENTS}, "strategy": scheme,
        "client": {"models": models, "batch_size": 3, "slices": 2}, "schedule": {"c_ratio": 1.0},
    }  # fmt: skip
    spec = JobSpec.parse(table, "job.toml")
    return assemble(JobFile("", spec, None), torch.device("cpu"), trains=True, serves=True)


@pytest.mark.parametrize("scheme", ["basic_common", "max_common"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_round_of_every_member(data, family, scheme):
    parts = parts_of(family, scheme, data(family))
    pool, seen = Collective(Solo(), parts.trainer, parts.world, reproducible=True), []
    engine.run(
        parts.world, parts.strategy, parts.schedule(parts.world, VirtualClock()), pool,
        lambda step, updates, state, seconds: seen.append((updates, state)),
    )  # fmt: skip
    for updates, _ in seen:
        assert not updates.failures
        assert [update.job.client for update in updates] == list(range(CLIENTS))
        assert all(np.isfinite(update.loss) for update in updates)
    final = seen[-1][1]["w"]
    assert final.isfinite().all()
    assert not torch.equal(final, parts.world.initial)
