"""The dashboard in a real browser: a person signs in, sees the cluster, follows a log, and can change nothing."""

import json
import os
import re
import shlex
import urllib.error
import urllib.request

import pytest
from browser import PROGRAM, Browser
from heads import Head

pytestmark = [
    pytest.mark.iosdk,
    pytest.mark.timeout(240),
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]

EVIL = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    running = Head(str(tmp_path_factory.mktemp("d")))
    yield running
    running.stop()


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened


def login(head):
    return json.loads(head.cli("dashboard", "--json").stdout)["url"]


def enter(head, browser):
    browser.goto(login(head))
    browser.sees("Latest jobs")


def test_an_address_signs_in_once_and_leaves_nothing_behind(head, browser):
    url = login(head)
    ticket = url.rsplit("=", 1)[1]
    browser.goto(url)
    browser.sees("CPUs")
    assert browser.evaluate("location.href") == head.about["url"] + "/"
    assert browser.evaluate("history.length") <= 2
    with open(head.about["token_file"]) as file:
        token = file.read().strip()
    for address, headers in browser.requests():
        assert address.startswith(head.about["url"] + "/"), "the page asks other places"
        assert ticket not in address.split("#")[0] and token not in address + json.dumps(headers)
        assert ticket not in headers.get("Referer", "")
    assert token not in browser.evaluate("JSON.stringify([sessionStorage, localStorage, document.cookie])")
    browser.goto("about:blank")
    browser.goto(url)  # in the same tab the session is there; the address itself is used up
    browser.sees("That address has been used")
    assert not browser.complaints()


def test_the_token_signs_in_and_a_wrong_one_does_not(head, browser):
    browser.goto(head.about["url"])
    browser.sees("Sign in")
    paste = "document.getElementById('token').value = {}; document.querySelector('form').requestSubmit()"
    browser.evaluate(paste.format(json.dumps("0" * 64)))
    browser.sees("That is not the token of this head.")
    with open(head.about["token_file"]) as file:
        browser.evaluate(paste.format(json.dumps(file.read().strip())))
    browser.sees("Latest jobs")
    browser.evaluate("document.getElementById('leave').click()")
    browser.sees("Or paste the token")
    assert browser.evaluate("sessionStorage.length") == 0


def test_names_and_logs_stay_text(head, browser):
    script = f"echo {shlex.quote(EVIL)}; exit 3"
    head.submit("--submission-id", "evil", "--", script, code=3)
    enter(head, browser)
    browser.sees("onerror")
    browser.evaluate("location.hash = '#/jobs/evil'")
    browser.sees("complete")
    browser.wait("document.querySelector('.lines')?.innerText.includes('onerror')")
    assert browser.evaluate("document.querySelectorAll('main img').length") == 0
    assert "taken" not in browser.evaluate("document.title")
    assert re.search(r"Exit code\s+3", browser.text())
    assert not browser.complaints()


def test_a_log_is_followed_and_bounded(head, browser, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"seq 1 5000; printf 'a\\rb\\033[31mred\\033[0m\\n'; read line < {gate}; echo after-$line"
    head.submit("--no-wait", "--submission-id", "long", "--", script)
    enter(head, browser)
    browser.evaluate("location.hash = '#/jobs/long'")
    browser.wait("document.querySelector('.lines')?.lastElementChild?.innerText === 'bred'")
    assert browser.evaluate("document.querySelector('.lines').childElementCount") == 2000
    gate.write_text("gate\n")
    browser.wait("document.querySelector('.lines').lastElementChild.innerText === 'after-gate'")
    browser.sees("complete")
    browser.wait("document.querySelector('.title .badge').innerText === 'succeeded'")
    assert browser.evaluate("document.querySelector('.lines').childElementCount") == 2000
    assert not browser.complaints()


def test_the_sections_show_what_is_there(head, browser, tmp_path):
    for name in ("apple", "pear"):
        head.submit("--submission-id", name, "--", f"echo {name}")
    browser.size(1280, 860)
    enter(head, browser)
    browser.sees("of 2")
    browser.screenshot(tmp_path / "overview.png")
    browser.evaluate("location.hash = '#/jobs'")
    browser.sees("pear")
    search = "document.querySelector('input[type=search]')"
    browser.evaluate(f"{search}.value = 'APPLE'; {search}.dispatchEvent(new Event('input'))")
    rows = "[...document.querySelectorAll('tbody tr')].map((row) => row.dataset.key)"
    assert browser.evaluate(rows) == ["apple"]
    browser.evaluate("location.hash = '#/nodes'")
    browser.sees("127.0.0.1, head")
    browser.evaluate("location.hash = '#/usage'")
    browser.sees("By user")
    browser.size(400, 800, dark=True)
    for section in ("", "jobs", "tasks", "actors", "nodes", "usage"):
        browser.evaluate(f"location.hash = '#/{section}'")
        browser.wait(f"document.querySelector('nav a[aria-current]').hash === '#/{section}'")
        browser.wait("document.getElementById('status').innerText === 'live'")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 400, section
    assert (tmp_path / "overview.png").stat().st_size > 10_000
    assert not browser.complaints()


STATES = {
    "tasks": [
        {"task_id": "t1", "name": EVIL, "state": "RUNNING", "job_id": "01", "worker_pid": 11, "start_time_ms": 1},
        {"task_id": "t2", "name": "plain", "state": "FAILED", "job_id": "02", "error_message": "why"},
    ],
    "actors": [{"actor_id": "a1", "class_name": "Counter", "state": "ALIVE", "pid": 12, "job_id": "01", "name": ""}],
}


@pytest.mark.parametrize("kind", ["tasks", "actors"])
def test_tasks_and_actors_are_shown_as_the_state_api_tells_them(head, browser, kind):
    enter(head, browser)
    page = {"total": 700, "num_after_truncation": len(STATES[kind]), "result": STATES[kind]}
    browser.evaluate(f"""window.asked = [];
        const whole = window.fetch;
        window.fetch = (path, options) => path.startsWith("/api/v0/")
            ? (asked.push(path), Promise.resolve(Response.json({{result: {json.dumps(page)}}})))
            : whole(path, options);
        location.hash = '#/{kind}'; 0""")
    browser.sees("of 700")
    browser.wait("document.querySelector('tbody tr')")
    assert browser.evaluate("document.querySelectorAll('main img').length") == 0
    search = "document.querySelector('input[type=search]')"
    browser.evaluate(f"{search}.value = 'nothing-like-it'; {search}.dispatchEvent(new Event('input'))")
    browser.sees(f"No {kind} match.")
    state = STATES[kind][0]["state"]
    choose = "document.querySelector('select')"
    browser.evaluate(f"{choose}.value = '{state}'; {choose}.dispatchEvent(new Event('change'))")
    browser.evaluate(f"{search}.value = ''; {search}.dispatchEvent(new Event('input'))")
    browser.wait(f"asked.includes('/api/v0/{kind}?limit=500&state={state}')")
    assert not browser.complaints()


def test_a_hidden_tab_asks_nothing_and_one_request_is_under_way_at_most(head, browser):
    enter(head, browser)
    browser.evaluate("""window.most = window.under = window.count = 0;
        const whole = window.fetch;
        window.fetch = async (...words) => {
            most = Math.max(most, ++under); document.body.dataset.count = ++count;
            try { return await whole(...words); } finally { under--; }
        }; 0""")
    browser.wait("count >= 6")
    assert browser.evaluate("most") == 1
    hide = "Object.defineProperty(document, 'visibilityState', {{value: '{}', configurable: true}});"
    tell = "document.dispatchEvent(new Event('visibilitychange'));"
    later = "new Promise((done) => setTimeout(() => done(count), {}))"
    before = browser.evaluate(hide.format("hidden") + tell + later.format(1000))
    after = browser.evaluate(later.format(5000))
    assert before == after
    browser.evaluate(hide.format("visible") + tell)
    browser.wait(f"count > {after}")


def test_a_session_changes_nothing(head, browser):
    enter(head, browser)
    word = browser.evaluate("sessionStorage.getItem('iosdk-session')")
    request = urllib.request.Request(f"{head.about['url']}/api/jobs/", b'{"entrypoint": "true"}')
    request.add_header("Authorization", f"Bearer {word}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 401
