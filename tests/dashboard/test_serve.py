"""The command and the server: what they say, whom they serve, and how they end."""

import http.cookiejar
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from hpcfl.cli import main

PATHS = ("/", "/rows?q=run", "/?strategy=fedprox", "/profile", "/static/site.css")


class Server:
    """`hpcfl dashboard` on a free port, and what it said."""

    def __init__(self, results, state, *options):
        words = ["dashboard", str(results), "--state", str(state), "--port", "0", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "hpcfl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script's background is deaf to Ctrl-C
        )  # fmt: skip
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                break
        self.address = re.search(r" at (http://127\.0\.0\.1:\d+)", self.said)[1]

    def link(self):
        found = re.search(r"http://\S+/welcome/\S+", self.said)
        return found and found[0]

    def end(self, number):
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said


class Browser:
    """A real client over a real socket."""

    def __init__(self):
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, address):
        with self.opener.open(address, timeout=60) as answer:
            return answer.read().decode()

    def post(self, address, **fields):
        fields["csrf_token"] = re.search(r'name="csrf-token" content="([^"]+)"', self.get(address))[1]
        with self.opener.open(address, urllib.parse.urlencode(fields).encode(), timeout=60) as answer:
            return answer.read().decode()


@pytest.fixture
def serve(results, tmp_path):
    servers = []

    def served(*options):
        servers.append(Server(results, tmp_path / "state", *options))
        return servers[-1]

    yield served
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


def join(server, browser, login):
    """Register there; the site is open."""
    fields = {"login": login, "name": "", "password": "a long enough one", "again": "a long enough one"}
    return browser.post(f"{server.address}/register", **fields)


def test_the_first_start_prints_a_link_and_later_ones_do_not(serve, write):
    write("run")
    server = serve("--prefix", "node/n1")
    assert server.link().startswith(f"{server.address}/node/n1/welcome/")
    browser = Browser()
    secret = {"password": "a long enough one", "again": "a long enough one"}
    assert "1 of 1 run" in browser.post(server.link(), login="ada", name="Ada", **secret)
    assert server.end(signal.SIGTERM) == (0, "")
    assert serve().link() is None
    assert serve("--admin-link").link()


def test_ten_clients_at_once_are_served_without_an_error(serve, write):
    for number in range(20):
        write(f"run{number}", steps=2)
    server = serve("--registration", "open")
    browsers = [Browser() for _ in range(10)]
    failures, answers = [], []

    def ask(number, browser):
        try:
            join(server, browser, f"user{number}")
            for turn in range(2 * len(PATHS)):
                answers.append(browser.get(server.address + PATHS[(number + turn) % len(PATHS)]))
        except (OSError, urllib.error.URLError) as failure:
            failures.append((number, failure))

    threads = [threading.Thread(target=ask, args=each) for each in enumerate(browsers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(answers) == 10 * 2 * len(PATHS)
    assert "20 of 20 runs" in browsers[0].get(f"{server.address}/")
    code, said = server.end(signal.SIGINT)
    assert (code, said) == (0, "")


def test_a_request_that_is_too_large_is_refused_unread(serve):
    server = serve()
    request = urllib.request.Request(f"{server.address}/login", data=b"x", headers={"Content-Length": str(10**10)})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 413


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], "RESULTS_DIR absent: is no folder"),
        ([".", "--allow-run", "--jobs", "absent"], "--jobs absent: is no folder"),
        ([".", "--prefix", "/a/../b"], "--prefix /a/../b: is no path"),
        ([".", "--state", "/proc/x"], "accounts cannot be kept in /proc/x"),
        ([".", "--registration", "all"], "'approval', 'open', 'closed'"),
        ([".", "--port", "70000"], "70000"),
        ([".", "--host", "256.0.0.1", "--state", "state"], "--host 256.0.0.1"),
    ],
)
def test_mistakes_are_one_message(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_a_port_that_is_taken(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        port = str(taken.getsockname()[1])
        main(["dashboard", str(tmp_path), "--state", str(tmp_path / "state"), "--port", port])
    assert ended.value.code == 2
    assert f"--port {port}: Address already in use" in capsys.readouterr().err


def test_without_the_extra_it_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hpcfl.serving.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", str(tmp_path)])
    assert ended.value.code == 2
    assert "pip install 'hpcfl[dashboard]'" in capsys.readouterr().err


def test_a_database_of_a_newer_hpcfl_is_left_alone(make_site, tmp_path, capsys):
    import sqlite3

    make_site()
    with sqlite3.connect(tmp_path / "state/site.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SystemExit):
        main(["dashboard", str(tmp_path), "--state", str(tmp_path / "state"), "--port", "0"])
    assert "is of a newer hpcfl" in capsys.readouterr().err


def test_accounts_lie_in_the_folder_that_was_named_whatever_its_name(make_site, tmp_path):
    make_site(state=tmp_path / "what?mode=memory#%41")
    assert (tmp_path / "what?mode=memory#%41/site.sqlite").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {"results", "what?mode=memory#%41"}


def test_pages_and_scripts_are_in_the_package():
    """What setup.py says is shipped is all that there is."""
    import hpcfl.dashboard

    folder = Path(hpcfl.dashboard.__file__).parent
    patterns = re.search(r'"hpcfl\.dashboard": \[(.*?)\]', Path(__file__).parents[2].joinpath("setup.py").read_text())[
        1
    ]
    shipped = {path for pattern in re.findall(r'"(.+?)"', patterns) for path in folder.glob(pattern) if path.is_file()}
    there = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert shipped == there
    assert len(there) > 10
