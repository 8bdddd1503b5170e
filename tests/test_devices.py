"""How long jobs take, and whether they end: every form of every key, and the mistakes in it."""

import numpy as np
import pytest

from hpcfl.core import World
from hpcfl.devices import Devices, Lognormal, Trace, stale_delays
from hpcfl.errors import JobError
from hpcfl.federation import build_devices
from hpcfl.rng import stream
from hpcfl.schema import JobSpec

NOTHING = np.zeros(3)


def built(clients=6, model_bytes=0.0, **device):
    table = {"rounds": 1, "data": "digits", "partition": {"clients": clients}, "client": {"device": device}}
    return build_devices(JobSpec.parse(table, "job.toml"), clients, model_bytes)


def complaint(**device):
    with pytest.raises(JobError) as caught:
        built(**device)
    return str(caught.value)


def test_a_duration_adds_up():
    each = np.array([1.0, 2.0, 3.0])
    devices = Devices(0, each, 10 * each, 100 * each, 1000 * each)
    assert devices.duration(0, 4) == 1 * 4 + 10 + 1100
    assert devices.duration(2, 2) == 3 * 2 + 30 + 3300
    assert devices.duration(1, 0, travels=0.25) == 20 + 550
    assert Devices.alike(2, 0.5).duration(1, 3) == 1.5


def test_without_any_settings_a_step_takes_a_second():
    devices = built()
    assert [devices.duration(client, 7) for client in range(6)] == [7.0] * 6
    assert not any(devices.drops(client, 0, 0) for client in range(6))
    assert devices.wait(5, 0.3) == 0


def test_bandwidths():
    devices = built(model_bytes=4000.0, download_bandwidth=100, upload_bandwidth=20.0, seconds_per_step=0.5)
    assert devices.duration(3, 2) == 1.0 + 40 + 200
    assert devices.duration(3, 2, travels=0.5) == 1.0 + 20 + 100
    assert built(model_bytes=4000.0, upload_bandwidth=20.0).duration(0, 0) == 200
    assert built(upload_bandwidth=20.0).duration(0, 1) == 1


def test_jobs_are_dropped_as_often_as_said_and_each_by_itself():
    devices = built(dropout=0.25)
    lost = np.array([[devices.drops(client, version, 0) for version in range(2000)] for client in range(6)])
    assert lost.mean(axis=1) == pytest.approx([0.25] * 6, abs=0.03)
    assert devices.drops(0, 7, 0) == lost[0, 7]
    assert [devices.drops(0, version, 1) for version in range(2000)] != lost[0].tolist()
    assert len({tuple(row) for row in lost.tolist()}) == 6


def test_windows_are_staggered_and_waited_for():
    devices = built(clients=4, availability={"period": 8, "share": 0.25})
    assert [devices.wait(client, 0.0) for client in range(4)] == [0, 2, 4, 6]
    assert [devices.wait(0, time) for time in (1.5, 2.0, 5.0, 8.0, 9.9, 10.0)] == [0, 6, 3, 0, 0, 6]
    assert [devices.wait(3, time) for time in (5.0, 6.0, 7.5, 8.0)] == [1, 0, 0, 6]


def test_the_waiting_is_part_of_the_job():
    devices = built(clients=4, availability={"period": 8, "share": 0.25}, seconds_per_step=3)
    job = World(0, 1, np.ones((4, 1), int), 1, (1, 1), devices).job(1, 0, 0.5)
    assert (job.start, job.finish) == (0.5, 5.0)  # begun at 2; the window closes at 4, the job is not broken off
    always = built(clients=4, availability={"period": 8, "share": 1.0})
    assert always.wait(3, 0.1) == 0


def test_delays_that_are_listed():
    assert stale_delays(False, 3, 0).tolist() == [0, 0, 0]
    assert built(stale=[0, 1.5, 2, 0, 0, 7]).delay_s.tolist() == [0, 1.5, 2, 0, 0, 7]
    assert built(stale=[0, 1.5, 2, 0, 0, 7]).duration(1, 2) == 3.5


def test_delays_by_steps():
    given = {"step": 10, "list": [2, 3, 0, 1]}
    delays = stale_delays(given, 6, 4)
    assert delays[:2].tolist() == [0, 0]
    assert ((delays[2:5] >= 0) & (delays[2:5] < 10)).all()
    assert 20 <= delays[5] < 30
    assert len(set(delays[2:].tolist())) == 4
    assert stale_delays(given, 6, 4).tolist() == delays.tolist()
    assert stale_delays(given, 6, 5).tolist() != delays.tolist()
    shuffled = stale_delays({**given, "shuffle": True}, 6, 4)
    assert sorted(shuffled.tolist()) == sorted(delays.tolist())
    assert any(stale_delays({**given, "shuffle": True}, 6, seed)[:2].tolist() != [0, 0] for seed in range(4))
    assert stale_delays({**given, "shuffle": False}, 6, 4).tolist() == delays.tolist()


def seconds(clients):
    return [2.0 * client for client in range(clients)]


def too_many(clients):
    return [1.0] * (clients + 1)


def wordy(clients):
    return ["slow"] * clients


def negative(clients):
    return [-1.0] * clients


def broken(clients):
    raise ZeroDivisionError("no delays today")


def test_delays_of_ones_own():
    assert built(stale=f"{__name__}.seconds").delay_s.tolist() == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    "stale, said",
    [
        ([1.0, 2.0], "client.device.stale: has 2 delays, but partition.clients = 6"),
        ([0, 0, 0, -1, 0, 0], "client.device.stale[3] = -1: should be a number of seconds, 0 or greater"),
        ([0, 0, "a", 0, 0, 0], "client.device.stale[2] = 'a'"),
        ([0, float("nan"), 0, 0, 0, 0], "client.device.stale[1] = nan"),
        ([True] + [0] * 5, "client.device.stale[0] = True"),
        (True, "client.device.stale = True: should be false, a list of seconds per client, {"),
        (3, "client.device.stale = 3: should be false"),
        (
            {"step": 10, "list": [1, 2]},
            "client.device.stale.list = [1, 2]: adds up to 3 clients, but partition.clients = 6",
        ),
        ({"step": 10, "list": []}, "adds up to 0 clients"),
        ({"step": 10, "list": [7, -1]}, "client.device.stale.list = [7, -1]: should be a list of numbers of clients"),
        ({"step": 10, "list": 6}, "client.device.stale.list = 6"),
        ({"list": [6]}, "client.device.stale.step: required, but missing"),
        ({"step": 10}, "client.device.stale.list: required, but missing"),
        ({"step": 0, "list": [6]}, "client.device.stale.step = 0: should be a number of seconds greater than 0"),
        (
            {"step": 10, "list": [6], "shufle": True},
            "client.device.stale.shufle: unknown key; valid: step, shuffle, list",
        ),
        ({"step": 10, "list": [6], "shuffle": 1}, "client.device.stale.shuffle = 1: should be true or false"),
        ("slow", "client.device.stale = 'slow': unknown"),
        ("nowhere.slow", "client.device.stale = 'nowhere.slow': nowhere cannot be imported"),
        (f"{__name__}.too_many", "too_many': gives an array of shape (7,); should be one finite number"),
        (f"{__name__}.negative", "for each of 6 clients"),
        (f"{__name__}.wordy", "for each of 6 clients"),
        (f"{__name__}.broken", "client.device.stale: failed: ZeroDivisionError: no delays today"),
    ],
)
def test_delays_that_do_not_fit(stale, said):
    assert said in complaint(stale=stale)


def test_lognormal_speeds():
    factors = Lognormal(0.5)(20_000, stream(0, "speed"))
    assert np.median(factors) == pytest.approx(1.0, abs=0.02)
    assert np.log(factors).std() == pytest.approx(0.5, abs=0.01)
    assert Lognormal(0.0)(3, stream(0, "speed")).tolist() == [1, 1, 1]
    speed = {"name": "lognormal", "sigma": 0.5}
    devices = built(speed=speed, seconds_per_step=2.0)
    assert (devices.step_s / built(speed=speed).step_s).tolist() == [2.0] * 6
    assert len(set(devices.step_s.tolist())) == 6


def test_speeds_of_a_trace(tmp_path):
    file = tmp_path / "speeds.csv"
    file.write_text("factor\n1.5\n\n2,  # a slow one\n0.25\n")
    assert Trace(str(file))(5, stream(0)).tolist() == [1.5, 2.0, 0.25, 1.5, 2.0]
    assert Trace(str(file))(2, stream(0)).tolist() == [1.5, 2.0]
    assert built(speed={"name": "trace", "path": str(file)}, seconds_per_step=2).step_s[2] == 0.5


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "has no factors"),
        ("factor\n", "has no factors"),
        ("1\nfast\n", "line 2 is 'fast'; each should be one factor, 0 or greater"),
        ("1\n-2\n", "line 2 is '-2'"),
        ("nan\n", "line 1 is 'nan'"),
        ("1,2\n3,4\n", "line 2 is '3,4'"),
    ],
)
def test_a_trace_that_is_none(tmp_path, text, said):
    (tmp_path / "speeds.csv").write_text(text)
    path = str(tmp_path / "speeds.csv")
    assert complaint(speed={"name": "trace", "path": path}).startswith(f"client.device.speed.path = {path!r}: {said}")


class Two:
    """Two speeds, whatever the number of clients."""

    def __call__(self, clients, rng):
        return [1.0, 2.0]


@pytest.mark.parametrize(
    "speed, said",
    [
        ("lognormal", "client.device.speed.sigma: required by Lognormal, but missing"),
        (
            {"name": "lognormal", "sigma": -1.0},
            "client.device.speed.sigma = -1.0: should be greater than or equal to 0",
        ),
        ({"name": "trace", "path": "/nowhere/at/all"}, "client.device.speed.path = '/nowhere/at/all': cannot be read"),
        ("lognorm", "client.device.speed = 'lognorm': unknown; did you mean lognormal?"),
        (
            f"{__name__}.Two",
            "Two': gives an array of shape (2,); should be one finite number, 0 or greater, for each of 6",
        ),
    ],
)
def test_speeds_that_cannot_be(speed, said):
    assert said in complaint(speed=speed)
