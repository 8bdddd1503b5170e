"""What is in a checkpoint comes back as it was: every type and shape, links, jobs in flight, clients on other ranks."""

from pathlib import Path

import pytest
import torch
from worlds import federation

from hpcfl.checkpoint.folder import Checkpoint, place
from hpcfl.checkpoint.server import read_server, write_server
from hpcfl.checkpoint.tensors import Shelf, open_to_read, open_to_write
from hpcfl.checkpoint.vault import Report, Vault, home
from hpcfl.home import Homes

CPU = torch.device("cpu")
TENSORS = {
    "w": torch.randn(7),
    "left of w": torch.randn(2, 3).t(),
    "a/b.c": torch.tensor(3),
    "none": torch.zeros(0, 4),
    "flags": torch.tensor([True, False]),
    "half": torch.randn(3).half(),
    "bf16": torch.randn(3).bfloat16(),
    "wide": torch.randn(2, dtype=torch.float64),
    "bytes": torch.arange(4, dtype=torch.uint8),
}


def test_tensors_come_back_with_their_bits(tmp_path: Path):
    with open_to_write(tmp_path / "x.h5") as file:
        Shelf().write(file.create_group("state"), TENSORS)
    with open_to_read(tmp_path / "x.h5") as file:
        found = Shelf().read(file["state"], CPU)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_jobs_in_flight_share_what_they_were_sent(tmp_path: Path):
    world = federation().world
    model, own = torch.randn(5), torch.randn(5)
    parcels = [{"w": model}, {"w": model}, {"w": model, "own": own}]
    jobs = [world.job(client, 1, 2.5, client) for client in range(3)]
    place(tmp_path, 4).mkdir()
    flight = {job.key: (job, parcel) for job, parcel in zip(jobs, parcels)}
    write_server(place(tmp_path, 4), {"w": model}, flight)
    state, found = read_server(Checkpoint(place(tmp_path, 4), {}), world, {"w": model})
    assert torch.equal(state["w"], model)
    assert [job for job, _ in found.values()] == jobs
    sent = [parcel for _, parcel in found.values()]
    assert sent[0] is sent[1]
    assert sent[2]["w"] is sent[0]["w"]
    assert torch.equal(sent[2]["own"], own)


def homes_of(rank: int, ranks: int, jobs: list[int]) -> Homes:
    """Clients that have at home the number of their last job; the first of them keeps the common model too."""
    homes = Homes(FIRST, history=True)
    for client, count in enumerate(jobs):
        for number in range(1, count + 2):  # one ahead of the server
            if home(client, ranks) == rank:
                homes.keep(client, {**homes.begin(client), "number": torch.tensor([float(number)])})
    return homes


FIRST = {"w": torch.randn(4)}


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 1), (1, 4)])
def test_clients_move_to_other_ranks(tmp_path: Path, before: int, after: int):
    jobs, files = [2, 1, 0, 3, 2], []
    for rank in range(1 if before > 1 else 0, before):
        report = Vault(tmp_path, homes_of(rank, before, jobs), rank, before, CPU).keep(7, jobs)
        files.append(Report.decode(report.encode(), rank).piece._asdict())
    checkpoint = Checkpoint(place(tmp_path, 7), {"files": files, "jobs": jobs})
    for rank in range(after):
        homes = Homes(FIRST, history=True)
        Vault(tmp_path, homes, rank, after, CPU).restore(checkpoint)
        for client, count in enumerate(jobs):
            state = homes.after(client, 9)
            here = home(client, after) == rank and count
            assert state["w"] is FIRST["w"]
            assert ("number" in state) == bool(here)
            assert not here or state["number"].item() == count


def test_a_rank_that_cannot_write_says_why(tmp_path: Path):
    (tmp_path / "file").touch()
    report = Vault(tmp_path / "file", Homes(FIRST, history=True), 2, 3, CPU).keep(7, [])
    assert Report.decode(report.encode(), 2) == Report(None, "rank 2: Not a directory")
