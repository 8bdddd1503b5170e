"""Rank 0's file of a checkpoint: the strategy's state, and the jobs in flight with what their clients were sent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from hpcfl.checkpoint.folder import SERVER, Checkpoint, Piece, seal
from hpcfl.checkpoint.tensors import Shelf, open_to_read, open_to_write
from hpcfl.core import Job, World

__all__ = ["Flight", "read_server", "write_server"]

State = dict[str, Tensor]
Flight = dict[tuple[int, int, int], tuple[Job, State]]
"""Jobs that have started and are not combined, by their keys, each with what its client was sent."""
COLUMNS = {"client": "i8", "version": "i8", "visit": "i8", "start": "f8"}


def write_server(path: Path, state: State, flight: Flight) -> Piece:
    """Write the file into the checkpoint's folder. Jobs share parcels, parcels share tensors."""
    aside, shelf = path / f"{SERVER}.part", Shelf()
    with open_to_write(aside) as file:
        shelf.write(file.create_group("state"), state)
        group = file.create_group("flight")
        numbers: dict[tuple[tuple[str, int], ...], int] = {}
        parcel_of = []
        for _, parcel in flight.values():
            key = tuple((name, id(tensor)) for name, tensor in sorted(parcel.items()))
            if key not in numbers:
                numbers[key] = len(numbers)
                shelf.write(group.create_group(f"parcels/{numbers[key]}"), parcel)
            parcel_of.append(numbers[key])
        for name, kind in COLUMNS.items():
            group[name] = np.array([getattr(job, name) for job, _ in flight.values()], kind)
        group["parcel"] = np.array(parcel_of, "i8")
    return seal(aside, path / SERVER)


def read_server(checkpoint: Checkpoint, world: World, first: State) -> tuple[State, Flight]:
    """State and jobs. `first`: the state that a new run begins with, which tells where each tensor belongs."""
    shelf, device = Shelf(), world.initial.device
    with open_to_read(checkpoint.path / SERVER) as file:
        state = shelf.read(file["state"], device)
        if lacking := first.keys() - state.keys():
            raise KeyError(f"it lacks {', '.join(sorted(lacking))} of the algorithm's state")
        state = {name: value.to(first[name].device) if name in first else value for name, value in state.items()}
        group, flight = file["flight"], {}
        columns = [group[name][:].tolist() for name in (*COLUMNS, "parcel")]
        parcels: dict[int, State] = {}
        for client, version, visit, start, number in zip(*columns, strict=True):
            if not (0 <= client < len(world.everyone) and 0 <= version <= world.rounds and math.isfinite(start)):
                raise ValueError(f"it has a job of client {client} from step {version} at {start}")
            if number not in parcels:
                parcels[number] = shelf.read(group[f"parcels/{number}"], device)
            job = world.job(client, version, start, visit)
            flight[job.key] = job, parcels[number]
    return state, flight
