"""Below a path of another site: addresses, cookies and redirects have the prefix; whoever is not trusted sets none."""

import pytest
from flask import request
from people import PASSWORD, Person

from hpcfl.dashboard.proxy import clean

PREFIX = "/node/n1/8050"


@pytest.mark.parametrize("before", ["", PREFIX])
def test_a_prefix_that_the_proxy_leaves_or_takes_off(make_site, before):
    site = make_site(prefix=PREFIX)
    person = Person(site)
    answer = person.get(f"{before}/run/1")
    assert answer.headers["Location"] == f"{PREFIX}/login?next=/run/1"
    page = person.get(f"{before}/login")
    assert f'href="{PREFIX}/static/site.css"' in page.text
    assert f"Path={PREFIX}" in page.headers["Set-Cookie"]
    Person(site, "ada", "viewer", path=PREFIX)
    fields = {"csrf_token": person.token(f"{PREFIX}/login"), "login": "ada", "password": PASSWORD}
    answer = person.browser.post(f"{PREFIX}/login?next=/profile", data=fields)
    assert answer.headers["Location"] == f"{PREFIX}/profile"
    assert person.get(f"{PREFIX}/profile").status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-Prefix", "X-Forwarded-Context"])
@pytest.mark.parametrize(("proxied", "prefix"), [(True, "/user/ada/proxy/8050"), (False, "")])
def test_a_header_is_believed_where_the_owner_says_so(make_site, header, proxied, prefix):
    answer = Person(make_site(proxied=proxied)).get("/profile", headers={header: "/user/ada/proxy/8050/"})
    assert answer.headers["Location"] == f"{prefix}/login?next=/profile"


@pytest.mark.parametrize("proxied", [True, False])
def test_addresses_are_those_of_the_proxy_where_it_is_trusted(make_site, proxied):
    site = make_site(proxied=proxied)
    seen = []
    site.before_request_funcs[None].insert(0, lambda: seen.append(request.remote_addr))
    Person(site).get("/login", headers={"X-Forwarded-For": "10.1.2.3"})
    assert seen == ["10.1.2.3" if proxied else "127.0.0.1"]


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("node/n1", "/node/n1"),
        ("//evil.example", "/evil.example"),
        ("/user/a%40b.c/proxy", "/user/a@b.c/proxy"),
        ("/a/../b", ""),
        ("/a;b", ""),
        ("/a\r\nSet-Cookie: x", ""),
        ('/a"><script>', ""),
        ("/\\evil", ""),
    ],
)
def test_what_is_no_path_is_no_prefix(given, prefix):
    assert clean(given) == prefix
