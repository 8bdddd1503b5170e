"""Schemes: what may be started, by whom, how many at once; real processes, recognised again, ended."""

import re
import sqlite3
import time
from pathlib import Path

import pytest
from people import Person
from sqlalchemy import select

from hpcfl.dashboard import processes, starts
from hpcfl.dashboard.database import Start, db
from hpcfl.dashboard.schemes import schemes
from hpcfl.errors import SlurmError
from hpcfl.slurm.client import Queued

QUICK = """# Two rounds
# of nearly nothing.
name = "quick"
rounds = 2
data = {name = "synthetic", samples = 40, test_samples = 10, shape = [4], classes = 2}
partition = {clients = 2}
model = "mlp"
"""
LIMIT_S = 120


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch):
    monkeypatch.setattr("hpcfl.dashboard.catalogue.LOOK_S", -1)


@pytest.fixture
def jobs(tmp_path):
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "quick.toml").write_text(QUICK)
    (folder / "endless.toml").write_text(QUICK.replace("rounds = 2", "rounds = 10000000"))
    (folder / "study.toml").write_text('job = "quick.toml"\ngrid = {seed = [0, 1]}\n')
    (folder / "wrong.toml").write_text("rounds = -1\n")
    (folder / "notes.txt").write_text("rounds = 1\n")
    return folder


@pytest.fixture
def site(make_site, jobs):
    return make_site(jobs=jobs)


@pytest.fixture
def runner(site):
    """Somebody who may start; what they started and still goes on is ended with the test."""
    somebody = Person(site, "runner", "runner")
    yield somebody
    with site.app_context():
        for row in starts.started():
            processes.end(row.number, row.began, kill=True)
            wait(lambda row=row: not processes.alive(row.number, row.began))


def wait(until):
    end = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def begin(somebody, name, **fields):
    folder = somebody.app.settings.jobs
    number = next(scheme.id for scheme in schemes(folder) if scheme.name == name)
    return somebody.post(f"/schemes/{number}", page="/profile", **{"seed": 0, "ranks": 1, "place": "local", **fields})


def states(site):
    with site.app_context():
        return [starts.look(row) for row in starts.started()]


def test_jobs_are_listed_with_what_they_say(jobs):
    found = {scheme.name: scheme for scheme in schemes(jobs)}
    assert list(found) == ["endless", "quick", "wrong"]
    assert found["quick"].about == "Two rounds of nearly nothing."
    assert (found["quick"].job.planned, found["quick"].job.clients, found["quick"].job.strategy) == (2, 2, "fedavg")
    assert "rounds" in found["wrong"].trouble and str(jobs) not in found["wrong"].trouble


def test_a_changed_file_is_read_again(jobs):
    assert schemes(jobs)[1].job.planned == 2
    (jobs / "quick.toml").write_text(QUICK.replace("rounds = 2", "rounds = 33"))
    assert schemes(jobs)[1].job.planned == 33


def test_the_weather_study_lies_ready():
    folder = Path(__file__).parents[2] / "jobs/weather"
    found = {scheme.name: scheme for scheme in schemes(folder)}
    assert {"f3", "f5", "f10", "centralized_all", "centralized1_1"} <= set(found)
    assert not any(scheme.trouble for scheme in found.values())


def test_an_empty_folder_says_what_to_do(make_site, tmp_path):
    (tmp_path / "none").mkdir()
    page = Person(make_site(jobs=tmp_path / "none"), "runner", "runner").get("/schemes").text
    assert "There is no job file in" in page


def test_where_nothing_may_be_started_there_is_no_page(app):
    admin = Person(app, "admin", "admin")
    assert admin.get("/schemes").status_code == 404
    assert "/schemes" not in admin.get("/").text


def test_a_viewer_starts_nothing(site):
    viewer = Person(site, "viewer", "viewer")
    assert begin(viewer, "quick").status_code == 403
    assert "/schemes" not in viewer.get("/").text
    assert states(site) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": "x"}, "Seed"),
        ({"seed": -1}, "Seed"),
        ({"ranks": 0}, "Ranks"),
        ({"ranks": 10000}, "Ranks"),
        ({"place": "/bin/sh"}, "Where"),
    ],
)
def test_what_cannot_be_is_refused(site, runner, fields, said):
    answer = begin(runner, "quick", **fields)
    assert answer.status_code == 400
    assert said in answer.text
    assert states(site) == []


@pytest.mark.parametrize("number", ["wrong", "quick", "../jobs/quick.toml", "0123456789abcdef"])
def test_only_jobs_are_started_and_by_their_ids(site, runner, jobs, number):
    known = {scheme.name: scheme.id for scheme in schemes(jobs) if scheme.trouble}
    answer = runner.post(f"/schemes/{known.get(number, number)}", page="/profile", seed=0, ranks=1, place="local")
    assert answer.status_code == 404
    assert states(site) == []


def test_a_scheme_runs_to_its_end_and_is_among_the_runs(site, runner):
    assert begin(runner, "quick", seed=5).status_code == 302
    wait(lambda: states(site) == ["ended"])
    (run,) = site.catalogue.runs()
    assert (run.status, run.summary.step, run.summary.seed) == ("finished", 2, 5)
    page = runner.get("/schemes/started").text
    assert f"/run/{run.id}" in page and "2/2" in page
    (number,) = re.findall(r"/schemes/started/(\d+)/log", page)
    assert "round 2/2" in runner.get(f"/schemes/started/{number}/log").text


def test_one_that_goes_on_is_known_after_a_restart_and_is_cancelled(site, make_site, jobs, runner, monkeypatch):
    begin(runner, "endless")
    assert states(site) == ["running"]
    monkeypatch.setattr(processes, "CHILDREN", {})
    again = make_site(jobs=jobs)
    assert states(again) == ["running"]
    admin, other = Person(again, "admin", "admin"), Person(again, "other", "runner")
    assert other.post("/schemes/started/1/cancel", page="/profile").status_code == 403
    assert "Cancel" in admin.get("/schemes/started").text
    assert "Cancel" not in other.get("/schemes/started").text
    assert admin.post("/schemes/started/1/cancel", page="/profile").status_code == 302
    wait(lambda: states(again) == ["cancelled"])
    assert admin.post("/schemes/started/1/cancel", page="/profile").status_code == 302
    assert "is over already" in admin.get("/profile").text


def test_so_many_run_at_once(make_site, jobs, runner):
    site = make_site(jobs=jobs, at_once=1)
    somebody = Person(site, "somebody", "runner")
    begin(somebody, "endless")
    begin(somebody, "endless")
    assert "as many as may at once" in somebody.get("/profile").text
    assert states(site) == ["running"]


def test_a_later_process_of_the_same_number_is_left_alone(site, runner):
    begin(runner, "endless")
    with site.app_context():
        row = db.session.scalar(select(Start))
        host, ticks = row.began.split()
        assert processes.alive(row.number, row.began)
        for other in (f"{host} {int(ticks) + 1}", f"elsewhere {ticks}"):
            assert not processes.alive(row.number, other)
            processes.end(row.number, other, kill=True)
        assert processes.alive(row.number, row.began)
        row.began = f"elsewhere {ticks}"
        assert starts.look(row) == "away"


def test_what_a_run_said_is_text(site, runner, results):
    begin(runner, "quick")
    wait(lambda: states(site) == ["ended"])
    with site.app_context():
        (results / db.session.scalar(select(Start.log))).write_text("<script>alert(1)</script>")
    page = runner.get("/schemes/started/1/log").text
    assert "&lt;script&gt;" in page and "<script>alert" not in page


def test_names_of_files_cannot_lead_elsewhere(site, runner, jobs, results):
    (jobs / "a b;$(touch x)..toml").write_text(QUICK)
    begin(runner, "a b;$(touch x).")
    wait(lambda: states(site) == ["ended"])
    names = sorted(path.name for path in (results / "started").iterdir())
    assert re.fullmatch(
        r"a_b___touch_x_\.-seed0-[0-9a-f]{8}\.h5 a_b___touch_x_\.-seed0-[0-9a-f]{8}\.log", " ".join(names)
    )


def commands(monkeypatch):
    """What would be started here, collected."""
    found = []
    monkeypatch.setattr(processes, "begin", lambda command, log: found.append((command, log)) or ("1", "elsewhere 1"))
    return found


def test_sites_with_different_accounts_write_different_files(make_site, jobs, tmp_path, monkeypatch):
    found = commands(monkeypatch)
    for state in ("one", "two"):
        begin(Person(make_site(jobs=jobs, state=tmp_path / state), "runner", "runner"), "quick")
    assert len({log for _, log in found}) == 2


def test_others_can_write_while_one_is_being_started(site, runner, monkeypatch):
    def slow(*_):
        with sqlite3.connect(site.settings.state / "site.sqlite", timeout=0) as other:
            other.execute("UPDATE user SET name = 'busy'")
        return "1", "elsewhere 1"

    monkeypatch.setattr(processes, "begin", slow)
    begin(runner, "quick")
    assert states(site) == ["away"]


def test_inside_a_slurm_job_several_share_it(site, runner, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    found = commands(monkeypatch)
    begin(runner, "quick", ranks=2)
    assert {"srun", "--exact"} <= set(found[0][0])


def test_one_on_another_machine_is_not_said_to_end(site, runner, monkeypatch):
    commands(monkeypatch)
    begin(runner, "quick")
    runner.post("/schemes/started/1/cancel", page="/profile")
    assert "runs on another machine" in runner.get("/profile").text
    assert states(site) == ["away"]


def test_cancelled_twice_it_is_not_killed_unless_that_was_said(site, runner, monkeypatch):
    begin(runner, "endless")
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(processes, "end", lambda *_, kill: asked.append(kill))
        for fields in ({}, {}, {"kill": "yes"}):
            runner.post("/schemes/started/1/cancel", page="/profile", **fields)
    assert asked == [False, True]
    page = runner.get("/schemes/started").text
    assert 'name="kill"' in page and 'aria-label="Kill endless"' in page


def test_an_end_that_two_requests_see_at_once(monkeypatch):
    class Seen:
        """A child whose end another request sees first."""

        pid = 1

        def poll(self):
            processes.CHILDREN.clear()
            return 0

    monkeypatch.setattr(processes, "CHILDREN", {1: Seen()})
    assert not processes.alive("1", "elsewhere 1")


def test_a_log_that_is_a_link_is_neither_shown_nor_written(site, runner, results, tmp_path, monkeypatch):
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours")
    commands(monkeypatch)
    begin(runner, "quick")
    monkeypatch.undo()
    with site.app_context():
        log = results / db.session.scalar(select(Start.log))
    log.symlink_to(secret)
    assert "not yours" not in runner.get("/schemes/started/1/log").text
    with pytest.raises(FileExistsError):
        processes.begin(["true"], log)
    assert secret.read_text() == "not yours"


def test_rows_that_differ_in_their_tokens_alone_are_the_same_to_the_page():
    script = Path(starts.__file__).parent / "static/live.js"
    pattern = re.search(r"const TOKEN = /(.+)/g;", script.read_text())[1]
    rows = '<tr><input type="hidden" name="csrf_token" value="{}"><button>Cancel</button>'
    assert re.sub(pattern, "", rows.format("one.x")) == re.sub(pattern, "", rows.format("two.y")) == rows.format("")


class Controller:
    """Slurm's, which answers as it is told to."""

    def __init__(self, monkeypatch, *answers):
        self.answers, self.asked = list(answers), 0
        monkeypatch.setattr(starts, "queue", self.queue)

    def queue(self):
        self.asked += 1
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_controller_that_is_away_is_asked_once_in_a_while(monkeypatch):
    controller, queue = Controller(monkeypatch, SlurmError("away")), starts.Queue()
    for _ in range(3):
        with pytest.raises(SlurmError, match="away"):
            queue.ask(0.0)
    assert controller.asked == 1


def test_a_job_is_not_looked_for_in_a_queue_from_before_it(monkeypatch):
    job = {"7": Queued("RUNNING", "1:00", "n1")}
    controller, queue = Controller(monkeypatch, {}, job), starts.Queue()
    assert queue.ask(0.0) == {}
    assert queue.ask(time.time()) == job
    assert queue.ask(0.0) == job
    assert controller.asked == 2


def test_who_asks_while_another_asks_does_not_wait(monkeypatch):
    queue = starts.Queue()

    def meanwhile():
        with pytest.raises(SlurmError, match="is being asked"):
            queue.ask(0.0)
        return {}

    controller = Controller(monkeypatch, meanwhile)
    assert queue.ask(0.0) == {}
    assert controller.asked == 1


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 3000 + "]" * 3000, ".".join("a" * 3000) + " = 1", "rounds = " + "9" * 5000],
    ids=["lists", "tables", "digits"],
)  # fmt: skip
def test_a_file_beyond_limits_does_not_hide_the_others(jobs, text):
    (jobs / "deep.toml").write_text(text)
    found = {scheme.name: scheme.trouble for scheme in schemes(jobs)}
    assert found["quick"] == ""
    assert "deep.toml" in found["deep"]
