"""People: the first administrator, registering, logging in and out, roles, passwords, sessions."""

import re

import pytest
from people import PASSWORD, Person
from sqlalchemy import select, update

from hpcfl.dashboard.accounts import LINK_S, SESSION_S, complain, make_link
from hpcfl.dashboard.database import Attempt, Link, SavedComparison, Session, User, db
from hpcfl.dashboard.throttle import FIRST_S, FREE, WINDOW_S

NEW = {"password": "a long enough one", "again": "a long enough one"}


def link(app, *arguments):
    with app.app_context():
        return f"/welcome/{make_link(*arguments)}"


def role(app, login):
    with app.app_context():
        return db.session.scalar(select(User.role).where(User.login == login))


def number(app, login):
    with app.app_context():
        return db.session.scalar(select(User.id).where(User.login == login))


def afar(somebody):
    """At a machine that is not the site's."""
    somebody.browser.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    return somebody


def age(app, column, seconds):
    with app.app_context():
        db.session.execute(update(column.class_).values({column: column - seconds}))
        db.session.commit()


def test_a_link_makes_the_first_administrator_once(app):
    place = link(app, "admin")
    first = Person(app)
    assert first.post(place, login="ada", name="Ada L.", **NEW).status_code == 302
    assert role(app, "ada") == "admin"
    assert "Ada L." in first.get("/admin").text
    assert Person(app).get(place).status_code == 404
    assert Person(app).post(place, login="eve", **NEW).status_code == 404


def test_a_newer_link_for_an_administrator_ends_the_older_one(app):
    older, newer = link(app, "admin"), link(app, "admin")
    assert Person(app).get(older).status_code == 404
    assert Person(app).get(newer).status_code == 200


def test_links_age_and_cannot_be_guessed_from_the_database(app):
    place = link(app, "viewer")
    with app.app_context():
        assert db.session.scalar(select(Link.digest)) not in place
    age(app, Link.until, LINK_S)
    assert Person(app).get(place).status_code == 404


@pytest.mark.parametrize("registration, becomes", [("approval", "waiting"), ("open", "viewer")])
def test_whoever_registers(make_site, registration, becomes):
    site = make_site(registration=registration)
    somebody = Person(site)
    answer = somebody.post("/register", login="bob", name="", **NEW)
    assert answer.status_code == 302
    assert role(site, "bob") == becomes
    seen = somebody.get("/", follow_redirects=True).text
    assert ("must let you in" in seen) == (becomes == "waiting")
    assert ("No runs yet" in seen) == (becomes == "viewer")


def test_who_waits_sees_nothing_but_their_own_page(person):
    somebody = person("waiting")
    assert somebody.get("/").headers["Location"] == "/waiting"
    assert somebody.get("/rows", headers={"X-Requested-With": "fetch"}).status_code == 403
    assert somebody.get("/profile").status_code == 200
    assert "must let you in" in somebody.get("/waiting").text


def test_where_registration_is_closed_nobody_registers(make_site):
    site = make_site(registration="closed")
    assert Person(site).get("/register").status_code == 403
    assert "register" not in Person(site).get("/login").text
    assert Person(site).post("/register", login="bob", **NEW).status_code == 403
    assert number(site, "bob") is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"login": "Bob"}, "small letters"),
        ({"login": "b"}, "2 to 32"),
        ({"login": "../bob"}, "small letters"),
        ({"login": "b<script>"}, "small letters"),
        ({"login": "viewer"}, "Somebody has this login name"),
        ({"password": "short", "again": "short"}, "10 to 200 characters"),
        ({"password": "aaaaaaaaaaaa", "again": "aaaaaaaaaaaa"}, "repeats too few"),
        ({"password": "1 Robert 234", "again": "1 Robert 234", "login": "robert"}, "login name in it"),
        ({"again": "another long one"}, "differ"),
    ],
)
def test_what_is_wrong_with_a_registration_is_said(app, person, fields, said):
    person("viewer")
    somebody = Person(app)
    answer = somebody.post("/register", **{"login": "bob", **NEW, **fields})
    assert answer.status_code == 200
    assert said in answer.text
    assert somebody.get("/").status_code == 302


def test_a_good_password_is_not_complained_of():
    assert complain("ada", "a long enough one") == ""


def test_logging_in_and_out(app, person):
    somebody = person("viewer")
    assert somebody.get("/").status_code == 200
    assert somebody.get("/login").status_code == 302
    cookie = somebody.browser.get_cookie(app.config["SESSION_COOKIE_NAME"]).value
    assert somebody.post("/logout", page="/").status_code == 302
    assert somebody.get("/").status_code == 302
    thief = Person(app)
    thief.browser.set_cookie(app.config["SESSION_COOKIE_NAME"], cookie)
    assert thief.get("/").status_code == 302


def test_a_login_begins_a_new_session(app, person):
    person("viewer")
    somebody = Person(app)
    token = somebody.token()
    before = somebody.browser.get_cookie(app.config["SESSION_COOKIE_NAME"]).value
    somebody.post("/login", login="Viewer ", password=PASSWORD)
    assert somebody.get("/").status_code == 200
    assert somebody.browser.get_cookie(app.config["SESSION_COOKIE_NAME"]).value != before
    assert somebody.browser.post("/logout", data={"csrf_token": token}).status_code == 400


def test_sessions_age(app, person):
    somebody = person("viewer")
    age(app, Session.since, SESSION_S)
    assert somebody.get("/").status_code == 302


@pytest.mark.parametrize("login", ["viewer", "nobody"])
def test_a_wrong_password_tells_not_whether_there_is_such_a_person(app, person, login):
    person("viewer")
    answer = Person(app).post("/login", login=login, password="wrong")
    assert answer.status_code == 403
    assert "The login name or the password is wrong." in answer.text


def test_logins_that_fail_are_throttled_also_after_a_restart(app, make_site, person):
    person("viewer")
    person("runner")
    somebody = Person(app)
    for _ in range(FREE["login"]):
        assert somebody.post("/login", login="viewer", password="wrong").status_code == 403
    refused = somebody.post("/login", login="viewer", password=PASSWORD)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= FIRST_S
    assert "Too many attempts" in refused.text
    assert Person(make_site()).post("/login", login="VIEWER", password=PASSWORD).status_code == 429
    assert somebody.post("/login", login="runner", password=PASSWORD).status_code == 302
    age(app, Attempt.at, FIRST_S)
    assert Person(app).post("/login", login="viewer", password="wrong").status_code == 403
    age(app, Attempt.at, FIRST_S)
    assert Person(app).post("/login", login="viewer", password=PASSWORD).status_code == 429
    age(app, Attempt.at, FIRST_S)
    assert Person(app).post("/login", login="viewer", password=PASSWORD).status_code == 302


def test_an_address_that_guesses_names_is_throttled_and_those_who_succeed_are_not(app, person):
    person("viewer")
    for _ in range(FREE["address"]):
        assert afar(Person(app)).post("/login", login="viewer", password=PASSWORD).status_code == 302
    somebody = afar(Person(app))
    for guess in range(FREE["address"]):
        assert somebody.post("/login", login=f"guess{guess}", password="wrong").status_code == 403
    assert somebody.post("/login", login="viewer", password=PASSWORD).status_code == 429
    age(app, Attempt.at, WINDOW_S)
    assert somebody.post("/login", login="viewer", password=PASSWORD).status_code == 302


@pytest.mark.parametrize(("proxied", "code"), [(False, 302), (True, 429)])
def test_who_guesses_on_the_sites_machine_locks_out_nobody_who_comes_through_a_tunnel(make_site, proxied, code):
    site = make_site(proxied=proxied)
    Person(site, "viewer", "viewer")
    somebody = Person(site)
    for guess in range(FREE["address"]):
        assert somebody.post("/login", login=f"guess{guess}", password="wrong").status_code == 403
    assert Person(site).post("/login", login="viewer", password=PASSWORD).status_code == code


def test_registrations_are_throttled_and_are_no_failed_logins(app, person):
    person("viewer")
    for guess in range(FREE["address"]):
        assert afar(Person(app)).post("/register", login=f"guess{guess}", **NEW).status_code == 302
    assert afar(Person(app)).post("/register", login="one-more", **NEW).status_code == 429
    assert afar(Person(app)).post("/login", login="viewer", password=PASSWORD).status_code == 302


def test_who_asks_which_logins_there_are_is_throttled(app, person):
    person("viewer")
    somebody = Person(app)
    for _ in range(FREE["address"]):
        assert "Somebody has this login name" in somebody.post("/register", login="viewer", **NEW).text
    assert somebody.post("/register", login="viewer", **NEW).status_code == 429


@pytest.mark.parametrize(
    ("place", "back"),
    [
        ("/run/abc?over=time", "/run/abc?over=time"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\tevil", "/"),
        ("javascript:alert(1)", "/"),
        ("/../../evil/9999/x", "/"),
        ("/%2e%2e/evil", "/"),
        ("/run/..%2fevil", "/"),
        ("/compare?run=a/../b", "/compare?run=a/../b"),
    ],
)
def test_a_login_leads_back_but_never_away(app, person, place, back):
    person("viewer")
    somebody = Person(app)
    fields = {"csrf_token": somebody.token(), "login": "viewer", "password": PASSWORD}
    answer = somebody.browser.post("/login", query_string={"next": place}, data=fields)
    assert answer.headers["Location"] == back


def test_a_changed_password_ends_the_other_sessions(app, person):
    here = person("viewer")
    there = Person(app)
    there.post("/login", login="viewer", password=PASSWORD)
    assert "not your present password" in here.post("/profile/password", old="wrong", **NEW, page="/profile").text
    assert here.post("/profile/password", old=PASSWORD, **NEW, page="/profile").status_code == 302
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 302
    assert Person(app).post("/login", login="viewer", password=PASSWORD).status_code == 403
    assert Person(app).post("/login", login="viewer", password=NEW["password"]).status_code == 302


def test_a_changed_password_ends_links_for_another(app, person):
    somebody = person("viewer")
    with app.app_context():
        place = f"/welcome/{make_link('viewer', db.session.get(User, number(app, 'viewer')))}"
    assert Person(app).get(place).status_code == 200
    somebody.post("/profile/password", old=PASSWORD, **NEW, page="/profile")
    assert Person(app).get(place).status_code == 404


def test_a_newer_link_for_a_person_ends_the_older_one_also_after_a_change_of_role(app, person):
    person("viewer")
    with app.app_context():
        somebody = db.session.get(User, number(app, "viewer"))
        older, newer = make_link("viewer", somebody), make_link("runner", somebody)
    assert Person(app).get(f"/welcome/{older}").status_code == 404
    assert Person(app).get(f"/welcome/{newer}").status_code == 200


def test_guesses_of_the_present_password_are_throttled(app, person):
    somebody = person("viewer")
    for _ in range(FREE["login"]):
        somebody.post("/profile/password", old="wrong", **NEW, page="/profile")
    assert "Too many attempts" in somebody.post("/profile/password", old=PASSWORD, **NEW, page="/profile").text


def test_other_sessions_can_be_ended(app, person):
    here = person("viewer")
    there = Person(app)
    there.post("/login", login="viewer", password=PASSWORD)
    here.post("/profile/sessions", page="/profile")
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 302)


def test_a_name_is_changed(person):
    somebody = person("viewer")
    somebody.post("/profile/name", name="Ada & <b>Bob</b>", page="/profile")
    assert "Ada &amp; &lt;b&gt;Bob&lt;/b&gt;" in somebody.get("/profile").text
    assert "longer than 80 characters" in somebody.post("/profile/name", name="x" * 81, page="/profile").text


def test_roles_are_given_and_taken_at_once(app, person):
    admin, somebody = person("admin"), person("waiting")
    place = f"/admin/users/{number(app, 'waiting')}/role"
    admin.post(place, role="viewer", page="/admin")
    assert somebody.get("/").status_code == 200
    assert somebody.get("/admin").status_code == 403
    admin.post(place, role="admin", page="/admin")
    assert somebody.get("/admin").status_code == 200
    admin.post(place, role="waiting", page="/admin")
    assert somebody.get("/").status_code == 302
    assert admin.post(place, role="king", page="/admin").status_code == 400
    assert admin.post("/admin/users/999/role", role="viewer", page="/admin").status_code == 404


def test_the_last_administrator_stays(app, person):
    admin = person("admin")
    mine = number(app, "admin")
    admin.post(f"/admin/users/{mine}/role", role="viewer", page="/admin")
    assert role(app, "admin") == "admin"
    admin.post(f"/admin/users/{mine}/delete", page="/admin")
    assert role(app, "admin") == "admin"
    assert "You cannot delete yourself" in admin.get("/admin").text


def test_of_administrators_who_delete_or_demote_one_another_at_once_one_stays(app, person, monkeypatch):
    """Both were administrators when their requests were admitted."""
    ada, bob = person("admin", "ada"), person("admin", "bob")
    places = [f"/admin/users/{number(app, login)}" for login in ("ada", "bob")]
    token, address = bob.token("/admin"), f"{places[0]}/delete"
    ada.post(f"{places[1]}/role", role="viewer", page="/admin")
    monkeypatch.setattr(User, "may", lambda *_: True)
    bob.browser.post(address, data={"csrf_token": token})
    assert role(app, "ada") == "admin"
    bob.browser.post(f"{places[0]}/role", data={"csrf_token": token, "role": "viewer"})
    assert role(app, "ada") == "admin"


def test_a_deleted_person_is_gone_with_sessions_and_comparisons(app, person):
    admin, somebody = person("admin"), person("viewer")
    with app.app_context():
        db.session.add(SavedComparison(user_id=number(app, "viewer"), name="mine", runs=[]))
        db.session.commit()
    admin.post(f"/admin/users/{number(app, 'viewer')}/delete", page="/admin")
    assert somebody.get("/").status_code == 302
    with app.app_context():
        assert db.session.scalars(select(SavedComparison)).all() == []
        assert [each.user.login for each in db.session.scalars(select(Session))] == ["admin"]


def test_an_administrator_makes_links(app, person):
    admin, somebody = person("admin"), person("viewer")
    page = admin.post(f"/admin/users/{number(app, 'viewer')}/link", page="/admin").text
    place = re.search(r"http://localhost(/welcome/[\w-]+)", page)[1]
    answer = Person(app).post(place, page=place, password="entirely new one", again="entirely new one")
    assert answer.status_code == 302
    assert somebody.get("/").status_code == 302
    assert Person(app).post("/login", login="viewer", password="entirely new one").status_code == 302
    page = admin.post("/admin/links", role="runner", page="/admin").text
    place = re.search(r"http://localhost(/welcome/[\w-]+)", page)[1]
    assert Person(app).post(place, login="newcomer", **NEW).status_code == 302
    assert role(app, "newcomer") == "runner"
    assert admin.post("/admin/links", role="waiting", page="/admin").status_code == 400


def test_saved_comparisons_are_ones_own(app, person):
    mine, other = person("viewer", "mine"), person("viewer", "other")
    with app.app_context():
        db.session.add(SavedComparison(user_id=number(app, "mine"), name="dear to me", runs=[]))
        db.session.commit()
        saved = db.session.scalar(select(SavedComparison.id))
    assert "dear to me" in mine.get("/profile").text
    assert "dear to me" not in other.get("/profile").text
    assert mine.get(f"/compare/saved/{saved}").status_code == 200
    assert other.get(f"/compare/saved/{saved}").status_code == 404
    assert other.post(f"/profile/comparisons/{saved}/delete", page="/profile").status_code == 404
    assert mine.post(f"/profile/comparisons/{saved}/delete", page="/profile").status_code == 302
    assert mine.get(f"/compare/saved/{saved}").status_code == 404
