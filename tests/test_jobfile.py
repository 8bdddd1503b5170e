"""Reading a job, and overriding its keys."""

import pytest

from hpcfl.errors import JobError
from hpcfl.jobfile import packaged, read

TEXT = 'rounds = 2\n[data]\nname = "digits"\n[client]\nlr = 0.1\n'


@pytest.fixture
def job(tmp_path):
    def write(text=TEXT, name="some-job.toml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return str(path)

    return write


def complaint(*arguments):
    with pytest.raises(JobError) as caught:
        read(*arguments)
    return str(caught.value)


def test_a_job_is_read_verbatim_and_understood(job, tmp_path):
    file = read(job())
    assert file.text == TEXT
    assert file.folder == tmp_path
    assert (file.spec.rounds, file.spec.client.lr, file.spec.name) == (2, 0.1, "some-job")


@pytest.mark.parametrize(
    "stem, name",
    [
        ("my job", "my-job"),
        ("_draft", "draft"),
        (".hidden", "hidden"),
        ("läuft (2)", "l-uft-2-"),
        ("é", "run"),
        ("v1.2", "v1.2"),
    ],
)
def test_the_name_follows_from_the_file_whatever_it_is_called(job, stem, name):
    assert read(job(name=f"{stem}.toml")).spec.name == name


@pytest.mark.parametrize(
    "override, found",
    [
        ("rounds=7", lambda spec: spec.rounds == 7),
        ("client.lr=0.05", lambda spec: spec.client.lr == 0.05),
        ("client.lr = 1e-3", lambda spec: spec.client.lr == 1e-3),
        ("client.epochs=[1, 5]", lambda spec: spec.client.epochs == [1, 5]),
        ("client.optimizer.momentum=0.9", lambda spec: spec.client.optimizer.params == {"momentum": 0.9}),
        ("client.optimizer=adam", lambda spec: spec.client.optimizer.name == "adam"),
        ('client.optimizer="adam"', lambda spec: spec.client.optimizer.name == "adam"),
        ("strategy={name='fedprox', mu=0.1}", lambda spec: spec.strategy.params == {"mu": 0.1}),
        ("model=torchvision.models.resnet18", lambda spec: spec.model.name == "torchvision.models.resnet18"),
        ("reproducible=false", lambda spec: spec.reproducible is False),
        ("results.path=a=b.h5", lambda spec: spec.results.path == "a=b.h5"),
        ("name=2-fast", lambda spec: spec.name == "2-fast"),
    ],
)
def test_set(job, override, found):
    assert found(read(job(), [override]).spec)


def test_set_applies_in_order_on_top_of_the_file(job):
    spec = read(job(), ["client.lr=1", "strategy=fedprox", "strategy.mu=0.5", "client.lr=2"]).spec
    assert spec.client.lr == 2
    assert (spec.strategy.name, spec.strategy.params) == ("fedprox", {"mu": 0.5})


def test_set_refines_a_component_that_the_file_names_alone(job):
    spec = read(job('rounds = 1\ndata = "digits"\nstrategy = "fedprox"'), ["strategy.mu=0.5"]).spec
    assert (spec.strategy.name, spec.strategy.params) == ("fedprox", {"mu": 0.5})


@pytest.mark.parametrize("override", ["rounds", "=5", "client.=5", ".lr=5", "client..lr=5", ""])
def test_a_malformed_set(job, override):
    assert complaint(job(), [override]) == f"--set {override}: should be KEY=VALUE, say --set client.lr=0.05"


def test_set_into_something_that_is_no_table(job):
    assert complaint(job(), ["rounds.x=5"]) == "--set rounds.x=5: rounds is 2, not a table"
    assert complaint(job(), ["client.lr.x=5"]) == "--set client.lr.x=5: client.lr is 0.1, not a table"


def test_set_is_checked_as_the_file_is(job):
    assert "client.lrr: unknown key; did you mean lr?" in complaint(job(), ["client.lrr=5"])
    assert "client.lr = 'fast': should be a valid number" in complaint(job(), ["client.lr=fast"])
    assert "client.lr = '': should be a valid number" in complaint(job(), ["client.lr="])


def test_out_is_the_results_path(job):
    assert read(job(), [], "a/b.h5").spec.results.path == "a/b.h5"
    assert read(job(TEXT + '[results]\npath = "old.h5"\noverwrite = true'), [], "new.h5").spec.results.path == "new.h5"


def test_out_beside_results_that_are_no_table(job):
    said = complaint(job('results = "run.h5"\n' + TEXT), [], "out.h5")
    assert "results = 'run.h5': should be a table [results]" in said


def test_equal_jobs_have_equal_digests(job):
    digest = read(job()).digest
    assert read(job(TEXT + "# a comment"), ["seed=0", "client.lr=0.1"]).digest == digest
    assert read(job(), ["seed=1"]).digest != digest
    assert read(job(), [], "elsewhere.h5").digest != digest


def test_what_cannot_be_read(job, tmp_path):
    missing = str(tmp_path / "none.toml")
    assert complaint(missing) == f"job file {missing} does not exist"
    assert complaint(str(tmp_path)).startswith(f"job file {tmp_path} cannot be read: ")
    latin = tmp_path / "latin.toml"
    latin.write_bytes("name = 'ä'".encode("latin-1"))
    assert complaint(str(latin)).startswith(f"job file {latin} cannot be read: ")
    broken = job("rounds = = 2")
    assert complaint(broken).startswith(f"{broken}: not valid TOML: ")
    assert "line 1" in complaint(broken)


def test_mistakes_name_the_file(job):
    path = job(TEXT + "sed = 1")
    assert complaint(path).startswith(f"{path}:\n  client.sed: unknown key")


def test_the_quickstart_ships_with_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = read(None)
    assert file.spec.name == "quickstart"
    assert file.folder is None
    assert file == read("quickstart") == packaged("quickstart")


def test_a_file_called_quickstart_is_taken_only_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text(TEXT)
    assert read("quickstart").spec.rounds == 2
    assert read(None) == packaged("quickstart")


def test_a_section_that_is_switched_on_can_be_filled(job):
    changes = ["tracking.wandb=true", "tracking.wandb.mode=offline"]
    assert read(job(), changes).spec.tracking.wandb.mode == "offline"
