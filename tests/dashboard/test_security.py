"""What a stranger, a colleague or a file must not be able to do: an OWASP-style pass over every route."""

import io
import json
import os
import pickle
import re
import stat
import sys
from pathlib import Path

import pytest
from people import PASSWORD, Person
from werkzeug.routing import Rule

import hpcfl.dashboard
from hpcfl.dashboard.app import create_app
from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.guard import FORM_BYTES
from hpcfl.dashboard.headers import HEADERS
from hpcfl.dashboard.serve import MOST_BYTES
from hpcfl.dashboard.settings import Settings

PACKAGE = Path(hpcfl.dashboard.__file__).parent

OPEN = {"static", "account.login", "account.register", "account.welcome"}
"""Endpoints that a stranger may reach."""
ROLE = {
    "account.logout": "waiting",
    "account.waiting": "waiting",
    "profile.show": "waiting",
    "profile.rename": "waiting",
    "profile.change_password": "waiting",
    "profile.end_sessions": "waiting",
    "schemes.show": "runner",
    "schemes.rows": "runner",
    "schemes.begin": "runner",
    "schemes.cancel": "runner",
    "schemes.log": "runner",
    "admin.show": "admin",
    "admin.give_role": "admin",
    "admin.link_for": "admin",
    "admin.invite": "admin",
    "admin.remove": "admin",
}
"""Endpoint -> least role; every other one needs a viewer."""
ROLES = ("waiting", "viewer", "runner", "admin")
EVIL = "<script>alert('x')</script>"


@pytest.fixture
def site(make_site, tmp_path):
    """One with everything switched on."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    return make_site(jobs=jobs)


def routes(app):
    """(rule, method, a path that fits) of everything that answers."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield rule, method, address(rule)


def address(rule: Rule) -> str:
    values = {"int": "1", "path": "x", "default": "0123456789abcdef", "string": "0123456789abcdef"}
    filled = re.sub(r"<(?:(\w+)(?:\([^)]*\))?:)?\w+>", lambda found: values[found[1] or "default"], rule.rule)
    assert "<" not in filled
    return filled


def test_no_route_answers_a_stranger(site):
    stranger = Person(site)
    reached = set()
    for rule, method, path in routes(site):
        if rule.endpoint in OPEN:
            continue
        token = stranger.token()
        for headers in ({}, {"Accept": "application/json"}):
            data = {"csrf_token": token} if method == "POST" else None
            answer = stranger.browser.open(path, method=method, data=data, headers=headers)
            if headers:
                assert (answer.status_code, answer.json) == (401, {"error": "log in first"}), path
            else:
                assert answer.status_code == 302, path
                assert answer.headers["Location"].startswith("/login"), path
        reached.add(rule.endpoint)
    assert len(reached) > 15


def test_paths_that_are_none_tell_a_stranger_nothing(site):
    assert Person(site).get("/no/such/page").headers["Location"] == "/login"


@pytest.mark.parametrize("role", ROLES)
def test_every_route_asks_for_its_role(site, role):
    somebody = Person(site, "somebody", role)
    for rule, method, path in routes(site):
        if rule.endpoint in OPEN or rule.endpoint == "account.logout":
            continue
        needed = ROLE.get(rule.endpoint, "viewer")
        data = {"csrf_token": somebody.token("/profile")} if method == "POST" else None
        code = somebody.browser.open(path, method=method, data=data, headers={"X-Requested-With": "fetch"}).status_code
        allowed = ROLES.index(role) >= ROLES.index(needed)
        assert (code != 403) == allowed, (path, code)
        assert code < 500, (path, code)


def test_no_form_is_taken_without_its_token(site):
    somebody = Person(site, "somebody", "admin")
    stranger_token = Person(site).token()
    posts = [path for _, method, path in routes(site) if method == "POST"]
    assert len(posts) > 10
    for path in posts:
        for data in ({}, {"csrf_token": "x"}, {"csrf_token": stranger_token}):
            answer = somebody.browser.post(path, data={"login": "somebody", "password": PASSWORD, **data})
            assert answer.status_code == 400, path
    assert somebody.get("/admin").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/login", "/register", "/profile", "/admin", "/schemes", "/nothing", "/static/site.css"]
)
def test_every_answer_has_the_headers(site, path):
    answer = Person(site, "somebody", "admin").get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "*" not in policy and "script-src 'self'" in policy
    assert ("no-store" in answer.headers["Cache-Control"]) == (not path.startswith("/static"))
    assert "Werkzeug" not in answer.headers.get("Server", "")


def test_no_script_or_style_stands_in_a_page():
    for template in PACKAGE.glob("templates/*.html"):
        text = template.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), template
        assert not re.search(r"\son\w+\s*=\s*[\"']|\sstyle\s*=|<style|javascript:", text), template
        assert "|safe" not in text.replace(" ", ""), template
        assert not re.search(r"(src|href)=[\"'](https?:)?//", text), template


def test_what_scripts_ask_for_lies_in_the_package():
    for script in PACKAGE.glob("static/*.js"):
        text = script.read_text("utf-8")
        assert not re.search(r"\beval\(|new Function\(|document\.write|https?://", text), script


def test_the_cookie(site):
    (cookie,) = Person(site).get("/login").headers.getlist("Set-Cookie")
    assert cookie.startswith("hpcfl_session_")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize("proxied", [True, False])
def test_over_https_the_cookie_stays_there(make_site, proxied):
    headers = {"X-Forwarded-Proto": "https"}
    (cookie,) = Person(make_site(proxied=proxied)).get("/login", headers=headers).headers.getlist("Set-Cookie")
    assert ("Secure" in cookie) == proxied


def test_a_forged_cookie_is_worth_nothing(site):
    for forged in ("x", ".eJw.x.y", "eyJfdXNlcl9pZCI6IjEifQ.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"):
        stranger = Person(site)
        stranger.browser.set_cookie(site.config["SESSION_COOKIE_NAME"], forged)
        assert stranger.get("/").status_code == 302


def test_a_cookie_of_another_site_is_worth_nothing(site, results, tmp_path):
    other = create_app(Settings(results, tmp_path / "other"))
    cookie = Person(other, "somebody", "admin").browser.get_cookie(other.config["SESSION_COOKIE_NAME"]).value
    stranger = Person(site)
    stranger.browser.set_cookie(site.config["SESSION_COOKIE_NAME"], cookie)
    assert stranger.get("/").status_code == 302


def test_files_of_the_site_are_its_owners_alone(site, tmp_path):
    Person(site, "somebody", "viewer")
    folder = tmp_path / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {path.name for path in files} >= {"secret", "site.sqlite"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert len((folder / "secret").read_bytes()) == 32


def test_files_that_were_open_to_others_are_closed_and_the_secret_is_another(make_site, tmp_path):
    make_site()
    before = (tmp_path / "state/secret").read_bytes()
    for path in (tmp_path / "state", tmp_path / "state/site.sqlite", tmp_path / "state/secret"):
        path.chmod(0o777)
    make_site()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state/site.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state/secret").stat().st_mode) == 0o600
    after = (tmp_path / "state/secret").read_bytes()
    assert after != before
    make_site()
    assert (tmp_path / "state/secret").read_bytes() == after


def test_the_database_holds_no_password(site, tmp_path):
    Person(site, "somebody", "viewer")
    content = (tmp_path / "state/site.sqlite").read_bytes()
    assert PASSWORD.encode() not in content
    assert b"$argon2id$" in content


TRAVERSALS = [
    "..",
    "../state/secret",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/secret",
    "....//",
    "/etc/passwd",
    "x%00",
    "a" * 5000,
]


@pytest.mark.parametrize("place", ["/run/{}", "/compare?run={}", "/static/{}", "/schemes/started/{}/log"])
@pytest.mark.parametrize("name", TRAVERSALS)
def test_nobody_leaves_the_folder(site, write, place, name):
    write("run")
    somebody = Person(site, "somebody", "admin")
    answer = somebody.get(place.format(name))
    assert answer.status_code in (302, 308, 400, 404), answer.status_code
    assert b"root:" not in answer.data


def test_runs_are_not_addressed_by_their_names(site, write):
    write("run")
    somebody = Person(site, "somebody", "viewer")
    assert somebody.get(f"/run/{run_id('run')}").status_code == 200
    for name in ("run", "run.h5", "./run", run_id("run").upper()[:-1]):
        assert somebody.get(f"/run/{name}").status_code == 404


def test_scripts_in_names_and_jobs_are_text(site, write, results):
    write(f"{EVIL.replace('/', '_')} & 'quotes\"", name=EVIL, strategy=EVIL, data=EVIL, model=EVIL, text=EVIL)
    (results / "<img src=x onerror=alert(1)>.h5").write_bytes(b"x")
    somebody = Person(site, "somebody", "viewer")
    run = run_id(f"{EVIL.replace('/', '_')} & 'quotes\"")
    assert EVIL.replace("/", "_") in site.catalogue.find(run).name
    for path in (
        "/",
        "/rows",
        f"/?q={EVIL}&strategy={EVIL}&seed={EVIL}&page={EVIL}",
        f"/run/{run}",
        f"/compare?run={run}",
    ):
        text = somebody.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
    assert "&lt;script&gt;alert" in somebody.get("/").text


def test_names_that_are_no_text_spoil_no_answer(site, write, results):
    path = write("run")
    os.rename(os.fsencode(path), os.fsencode(results) + b"/\xff\r\nSet-Cookie: x.h5")  # noqa: PTH104 - bytes
    os.utime(os.fsencode(results) + b"/\xff\r\nSet-Cookie: x.h5", (1, 1))
    somebody = Person(site, "somebody", "viewer")
    (run,) = site.catalogue.runs()
    for path in ("/", f"/run/{run.id}", f"/compare?run={run.id}", f"/run/{run.id}/file"):
        assert somebody.get(path).status_code == 200, path


def test_scripts_in_logins_are_text(site):
    answer = Person(site).post("/login", login=EVIL, password="x")
    assert EVIL not in answer.text and "&lt;script&gt;" in answer.text


def test_large_forms_are_refused(site):
    somebody = Person(site, "somebody", "viewer")
    token = somebody.token("/profile")
    for fields in ({"name": "x" * 2 * FORM_BYTES}, {"name": (io.BytesIO(bytes(2 * FORM_BYTES)), "name")}):
        answer = somebody.browser.post("/profile/name", data={"csrf_token": token, **fields})
        assert answer.status_code == 413
    assert FORM_BYTES < MOST_BYTES


def test_a_host_that_is_not_ours_changes_no_address(site, write):
    write()
    somebody = Person(site, "somebody", "viewer")
    text = somebody.browser.get("/", headers={"Host": "localhost", "X-Forwarded-Host": "evil.example"}).text
    assert "evil.example" not in text


def test_questions_to_the_database_stay_questions(site):
    somebody = Person(site, "somebody", "viewer")
    for login in ("' OR 1=1 --", 'somebody"--', "somebody';DROP TABLE user;--"):
        assert Person(site).post("/login", login=login, password=PASSWORD).status_code == 403
    assert somebody.get("/").status_code == 200


def test_nothing_is_pickled():
    for source in PACKAGE.rglob("*.py"):
        assert not re.search(r"pickle|marshal|shelve|\beval\(|\bexec\(|yaml", source.read_text("utf-8")), source


def test_a_pickle_named_as_a_run_is_not_opened(site, results):
    (results / "x.h5").write_bytes(pickle.dumps({"a": 1}))
    assert "not an HDF5 file" in Person(site, "somebody", "viewer").get("/").text


def test_errors_are_told_without_traces(site, monkeypatch):
    somebody = Person(site, "somebody", "viewer")
    site.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(site.catalogue, "runs", lambda: 1 / 0)
    answer = somebody.get("/")
    assert answer.status_code == 500
    assert "division" not in answer.text and "Traceback" not in answer.text
    assert json.loads(somebody.get("/", headers={"Accept": "application/json"}).text)["error"]


def test_the_site_imports_no_torch(make_site, write):
    import subprocess

    code = "import sys, hpcfl.dashboard.serve; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
