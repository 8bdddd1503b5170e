"""The site as people use it: in a real browser, over HTTP, while real runs write."""

import os
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from launcher import Launcher
from people import PASSWORD
from waitress import create_server

from hpcfl.dashboard.accounts import hash_password
from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.database import User, db

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
WAIT_S = 90
"""Two crowded cores start three ranks in half a minute."""
LIVE = """
rounds = 100000
data = "digits"
partition = {name = "iid", clients = 4}
model = {name = "mlp", hidden = [8]}
client = {batch_size = 20, lr = 0.1, test_size = 0.2}
"""
WEATHER = Path(__file__).parents[2] / "jobs" / "weather" / "f3.toml"
PHONE, LAPTOP = 390, 1280
INK = """
const canvas = document.querySelector(arguments[0]);
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
return pixels.filter((value, at) => at % 4 === 3 && value > 0).length;
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for all, that has seen nothing."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield found
    found.quit()


@contextmanager
def serving(app):
    """A site at work, with its `address`."""
    server = create_server(app, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    app.address = f"http://127.0.0.1:{server.effective_port}"
    try:
        yield app
    finally:
        server.close()
        app.extensions["judge"].close()


@pytest.fixture
def site(make_site):
    with serving(make_site(registration="open")) as app:
        yield app


class Visitor:
    """Somebody in front of the browser."""

    def __init__(self, site, chromium):
        self.site, self.chromium = site, chromium
        chromium.delete_all_cookies()
        chromium.get_log("browser")

    def go(self, path, width=LAPTOP):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        self.chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.chromium.get(self.site.address + path)

    def find(self, selector):
        """The element, once it is there and can be seen."""
        return self.until(lambda _: next((e for e in self.all(selector) if e.is_displayed()), None), selector)

    def all(self, selector):
        return self.chromium.find_elements(By.CSS_SELECTOR, selector)

    def fill(self, **fields):
        for name, text in fields.items():
            self.find(f"main [name={name}]").send_keys(text)

    def press(self, selector="main form button"):
        self.find(selector).click()

    def until(self, holds, what):
        wait = WebDriverWait(self.chromium, WAIT_S, 0.2, (StaleElementReferenceException,))
        return wait.until(holds, f"never: {what}")

    def sees(self, text):
        return self.until(lambda _: text in self.chromium.find_element(By.TAG_NAME, "main").text, text)

    def enter(self, login, role="viewer"):
        """Log in as somebody new."""
        with self.site.app_context():
            db.session.add(User(login=login, name=login.title(), password=hash_password(PASSWORD), role=role))
            db.session.commit()
        self.chromium.delete_all_cookies()
        self.go("/login")
        self.fill(login=login, password=PASSWORD)
        self.press()
        self.sees("Runs")

    def end(self, chart):
        """How far the first curve of a chart goes; 0 before it is drawn."""
        script = "return Chart.getChart(document.querySelector(arguments[0]))?.data.datasets[0].data.at(-1).x ?? 0"
        return self.chromium.execute_script(script, f"#{chart} canvas")

    def inked(self, chart):
        """How many points of the picture are drawn."""
        return self.chromium.execute_script(INK, f"#{chart} canvas")

    def complaints(self):
        """What the browser found wrong since it was last asked: scripts, styles or answers that were refused."""
        return [entry["message"] for entry in self.chromium.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def visitor(site, chromium):
    return Visitor(site, chromium)


def test_a_newcomer_sees_a_run_appear_and_its_curve_grow(visitor, results, tmp_path):
    visitor.go("/")
    visitor.sees("Log in")
    visitor.go("/register")
    visitor.fill(login="ada", name="Ada", password=PASSWORD, again=PASSWORD)
    visitor.press()
    visitor.sees("No runs yet")
    visitor.press(".bar .me form button")
    visitor.sees("You are logged out.")
    visitor.fill(login="ada", password=PASSWORD)
    visitor.press()
    visitor.sees("No runs yet")
    (tmp_path / "live.toml").write_text(LIVE)
    run = Launcher(tmp_path).start(3, "run", "live.toml", "--out", results / "live.h5")
    try:
        visitor.sees("1 going on")  # the page brings itself up to date
        visitor.press("table.runs th a")
        visitor.until(lambda _: visitor.end("accuracy") > 0, "a curve")
        first = visitor.end("accuracy")
        visitor.until(lambda _: visitor.end("accuracy") > first, "a longer curve")
        rounds = visitor.find(".tiles progress").get_attribute("value")
        visitor.until(lambda _: visitor.find(".tiles progress").get_attribute("value") != rounds, "more rounds")
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=WAIT_S)
    visitor.until(lambda _: not visitor.all(".badge.running"), "its end")
    visitor.find("a[download]")
    assert visitor.complaints() == []


def test_three_runs_are_compared_kept_and_shown_to_nobody_else(visitor, write):
    for name in ("fedavg", "fedprox", "scaffold"):
        write(name, strategy={"name": name, "params": {}})
    visitor.enter("ada")
    for box in visitor.all("input[name=run]"):
        box.click()
    visitor.press("button.primary")
    visitor.sees("To accuracy 80.0 % of the global model")
    visitor.until(lambda _: visitor.end("overlay") == 4, "the curves")
    assert sorted(button.text for button in visitor.all(".legend button")) == ["fedavg", "fedprox", "scaffold"]
    assert visitor.inked("overlay") > 1000
    visitor.chromium.find_element(By.CSS_SELECTOR, "input[value=bytes]").click()
    title = "return Chart.getChart(document.querySelector('#overlay canvas')).options.scales.x.title.text"
    visitor.until(lambda _: visitor.chromium.execute_script(title) == "traffic of all clients [B]", "another axis")
    visitor.press(".legend button")
    assert visitor.find(".legend button").get_attribute("aria-pressed") == "false"
    visitor.fill(name="Three")
    visitor.press("form[action$=saved] button")
    visitor.sees("Saved as Three.")
    kept = visitor.chromium.current_url.removeprefix(visitor.site.address)
    assert visitor.complaints() == []
    visitor.enter("eve", "admin")
    visitor.go(kept)
    visitor.sees("There is no such page")
    assert "Three" not in visitor.chromium.page_source


def test_wrong_passwords_are_slowed_down(visitor):
    visitor.enter("ada")
    visitor.press(".bar .me form button")
    for _ in range(30):
        visitor.find("[name=login]").clear()
        visitor.fill(login="ada", password="not the password")
        visitor.press()
        visitor.find("main .wrong, main [role=alert]")
        if "Too many attempts" in visitor.chromium.page_source:
            break
    visitor.sees("Too many attempts")
    visitor.find("[name=login]").clear()
    visitor.fill(login="ada", password=PASSWORD)
    visitor.press()
    visitor.sees("Too many attempts")  # the right one neither


def test_a_model_judges_a_photograph(visitor, results, tmp_path):
    photographs = Path(os.environ.get("HPCFL_DATA", "")) / "weather" / "sunny"
    if not photographs.is_dir():
        pytest.skip("no photographs: HPCFL_DATA has no weather/sunny in it")
    command = ("run", WEATHER, "--set", "rounds=5", "--out", results / "f3.h5")
    done = Launcher(tmp_path)(1, *command)
    assert done.returncode == 0, done.stderr
    visitor.enter("ada")
    visitor.go(f"/run/{run_id('f3')}")
    visitor.find("a[href*=predict]").click()
    visitor.fill(picture=str(sorted(photographs.iterdir())[0]))
    visitor.press("#predict button")
    shares = visitor.until(lambda _: [bar.get_property("value") for bar in visitor.all("#classes meter")], "an opinion")
    assert len(shares) == 2
    assert abs(sum(shares) - 1) < 1e-6
    assert {item.text.split()[0] for item in visitor.all("#classes li")} == {"cloudy", "sunny"}
    (tmp_path / "not.png").write_text("not a picture")
    visitor.fill(picture=str(tmp_path / "not.png"))
    visitor.press("#predict button")
    visitor.sees("This is not a picture that can be read")
    refused = [told for told in visitor.complaints() if "422" not in told]
    assert refused == []


@pytest.mark.parametrize("width", [PHONE, LAPTOP])
def test_every_page_fits_the_screen_and_breaks_no_rule(visitor, write, width):
    write("a-run-with-a-name-that-is-rather-long/and-a-seed-0")
    write("other", strategy={"name": "fedavg", "params": {}})
    ids = [run_id("a-run-with-a-name-that-is-rather-long/and-a-seed-0"), run_id("other")]
    visitor.enter("ada", "admin")
    pages = ("/", f"/run/{ids[0]}", f"/compare?run={ids[0]}&run={ids[1]}", "/compare", "/predict", "/profile", "/admin")
    for path in pages:
        visitor.go(path, width)
        visitor.find("main h1")
        assert visitor.chromium.execute_script("return document.documentElement.scrollWidth") <= width, path
        unnamed = "return [...document.querySelectorAll('main :is(input:not([type=hidden]), select, textarea)')]" \
            ".filter((e) => !e.labels.length && !e.ariaLabel).map((e) => e.outerHTML)"  # fmt: skip
        assert visitor.chromium.execute_script(unnamed) == [], path
    assert visitor.complaints() == []


def test_axes_are_chosen_by_the_keyboard_and_charts_follow_the_theme(visitor, write):
    write()
    visitor.enter("ada")
    visitor.go(f"/run/{run_id('run')}")
    visitor.until(lambda _: visitor.end("accuracy") == 4, "the curve")
    visitor.chromium.find_element(By.CSS_SELECTOR, "input[value=round]").send_keys(Keys.ARROW_RIGHT)
    title = "return Chart.getChart(document.querySelector('#accuracy canvas')).options.scales.x.title.text"
    visitor.until(lambda _: visitor.chromium.execute_script(title).startswith("virtual time"), "the next axis")
    colour = "return Chart.getChart(document.querySelector('#accuracy canvas')).data.datasets[0].borderColor"
    before = visitor.chromium.execute_script(colour)
    visitor.press("#theme")
    assert visitor.chromium.execute_script(colour) != before
    visitor.press("#theme")
    assert visitor.chromium.execute_script(colour) == before
    assert visitor.inked("accuracy") > 1000


def test_below_a_prefix(make_site, chromium, write):
    write()
    prefix = "/node/n1/8050"
    with serving(make_site(prefix=prefix)) as site:
        visitor = Visitor(site, chromium)
        site.address += prefix
        visitor.enter("ada")
        visitor.press("table.runs th a")
        visitor.until(lambda _: visitor.end("accuracy") == 4, "the curve")
        visitor.go(f"/compare?run={run_id('run')}")
        visitor.until(lambda _: visitor.end("overlay") == 4, "the curve")
        assert visitor.complaints() == []


def test_the_curve_of_a_comparison_is_chosen(visitor, write):
    write("a")
    write("b", strategy={"name": "fedavg", "params": {}})
    visitor.enter("ada")
    visitor.go(f"/compare?run={run_id('a')}&run={run_id('b')}")
    visitor.until(lambda _: visitor.end("overlay") == 4, "the curves")
    Select(visitor.find("select[name=what]")).select_by_value("train_loss")
    first = "return Chart.getChart(document.querySelector('#overlay canvas')).data.datasets[0].data[0].y"
    visitor.until(lambda _: visitor.chromium.execute_script(first) == 2, "the training loss")
