"""The page in a real browser: what a person sees of ranks, and what hostile ranks cannot make them see.

Needs playwright and a Chromium on the path (Debian: chromium). The browser and the service have processes of their own.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.helpers.apps import Application
from tests.helpers.browser import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from playwright.sync_api import Browser, Locator, Page, Route

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path (Debian: apt-get install chromium)")

TOKEN = "correct horse battery staple"  # noqa: S105 - it opens nothing else
PATIENCE = 30_000  # milliseconds

CHATTY = "i=0; while :; do i=$((i+1)); echo step $i of $0; sleep 0.1; done"
QUIET = "echo here I am; exec sleep 600"
HOSTILE = r"""
printf '<script>document.title="owned"</script><img src=x onerror=alert(1)>\n'
printf '\033[31mred\033[0m \033]0;owned\007plain \033[2J\033[H\342\200\256back\n'
printf '</span></div><style>*{display:none}</style>\n'
printf '\033]0;a title without an end\n'
echo this is seen
echo '</pre><script>alert(2)</script>' >&2
sleep 1
exit 3
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


class Visit:
    """A service with ranks, and its page, on which nothing may go wrong."""

    def __init__(self, browser: Browser, *scripts: str) -> None:
        self._application = Application("app_serves", "uvloop", 5, *scripts)
        self._browser = browser

    def __enter__(self) -> Self:
        self.url = f"http://127.0.0.1:{self._application.line('serving').split()[1]}/ranks"
        self.page: Page = self._browser.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(f"{self.url}/")
        return self

    def __exit__(self, *exc: object) -> None:
        self.page.close()
        if exc == (None, None, None):
            self._application.process.terminate()
            assert self._application.ended().noise == []
        self._application.__exit__(*exc)
        if exc == (None, None, None):
            assert self.complaints == []
            assert [url for url in self.asked if not url.startswith((f"{self.url}/", "about:"))] == []

    def row(self, rank: int) -> Locator:
        return self.page.locator(f"tr[data-rank='{rank}']")

    @property
    def lines(self) -> Locator:
        return self.page.locator("#log .row")

    def see(self, what: Locator, text: str | re.Pattern[str]) -> None:
        expect(what).to_contain_text(text, timeout=PATIENCE)

    def pid(self, rank: int) -> int:
        return int(httpx.get(f"{self.url}/api/runs/ranks/ranks/{rank}").json()["pid"])

    def signal(self, rank: int, sig: signal.Signals) -> None:
        answer = httpx.post(
            f"{self.url}/api/runs/ranks/ranks/{rank}/signal",
            json={"signal": sig.name},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        assert answer.status_code == 204


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)


def test_ranks_and_their_lines_as_they_come(browser: Browser) -> None:
    with Visit(browser, CHATTY, QUIET) as visit:
        visit.see(visit.page.locator("#connection"), "live")
        visit.see(visit.row(0), "running")
        visit.see(visit.row(1), str(visit.pid(1)))
        visit.see(visit.page.locator("#summary"), "2 of 2 ranks run")
        visit.see(visit.lines.last, re.compile(r"step \d\d"))
        expect(visit.row(0).locator(".last")).to_have_text(re.compile(r"step \d+ of"), timeout=PATIENCE)
        assert not visit.page.locator("#stop").is_visible(), "no token, no actions"


def test_a_rank_that_dies_turns_its_row(browser: Browser, token: None) -> None:
    with Visit(browser, QUIET, QUIET) as visit:
        expect(visit.row(1)).to_have_attribute("data-look", "running", timeout=PATIENCE)
        before = visit.pid(1)
        visit.signal(1, signal.SIGKILL)
        expect(visit.row(1).locator("td.restarts")).to_have_text("1", timeout=PATIENCE)
        assert visit.pid(1) != before
        visit.see(visit.page.locator("#failure-count"), "1")
        visit.see(visit.page.locator("#news"), "Rank 1 killed by SIGKILL")
        visit.page.get_by_role("tab", name="Failures").click()
        visit.see(visit.page.locator("article.failure"), "Signal 9 (SIGKILL) received by PID")
        visit.page.get_by_role("tab", name="Events").click()
        visit.see(visit.page.locator("#events"), "rank 1 was killed by signal 9")


def test_the_end_of_all_ranks_is_seen(browser: Browser) -> None:
    with Visit(browser, "sleep 2; echo bye") as visit:
        visit.see(visit.page.locator("#connection"), "ended")
        visit.see(visit.row(0), "done")
        visit.see(visit.page.locator("#summary"), "succeeded")
        visit.see(visit.lines.last, "bye")


def test_hostile_output_is_text(browser: Browser) -> None:
    with Visit(browser, QUIET, HOSTILE) as visit:
        log = visit.page.locator("#log")
        visit.see(log, '<script>document.title="owned"</script><img src=x onerror=alert(1)>')
        visit.see(log, "red plain back")
        visit.see(log, "</span></div><style>*{display:none}</style>")
        visit.see(visit.page.locator("#failure-count"), re.compile("[1-9]"))
        visit.page.get_by_role("tab", name="Failures").click()
        visit.see(visit.page.locator("article.failure").first, "</pre><script>alert(2)</script>")
        visit.page.get_by_role("tab", name="Logs").click()
        visit.page.get_by_label("Rank 1 in the log").check()
        visit.page.get_by_role("button", name="Log file").click()
        visit.see(visit.page.locator("#reader-text"), "this is seen")
        assert "title without" not in visit.page.locator("#reader-text").inner_text()
        assert visit.page.title().startswith("workers")
        assert visit.page.locator("main script, main img, main style").count() == 0
        shown = visit.page.inner_text("body")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)


def test_scripts_in_the_page_are_not_run(browser: Browser) -> None:
    """The last defence, if text were ever put into the page as HTML."""
    with Visit(browser, QUIET) as visit:
        visit.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
        visit.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'owned=1'}))")
        visit.page.wait_for_timeout(300)
        assert visit.page.evaluate("typeof owned") == "undefined"
        assert visit.page.title().startswith("workers")
        assert any("Content Security Policy" in complaint for complaint in visit.complaints)
        visit.complaints.clear()
        visit.asked = {url for url in visit.asked if not url.endswith("/x")}


def test_the_token_is_asked_for(browser: Browser, token: None) -> None:
    with Visit(browser, QUIET, QUIET) as visit:
        expect(visit.row(1).locator("select")).to_be_visible(timeout=PATIENCE)
        before = visit.pid(1)
        visit.row(1).locator("select").select_option("restart")
        visit.see(visit.page.locator("#confirm"), "Restart rank 1?")
        visit.page.get_by_role("button", name="Do it").click()
        visit.page.locator("#token").fill("not the right one")
        visit.page.get_by_role("button", name="Go on").click()
        visit.see(visit.page.locator("#ask-why"), "That was not the token.")
        assert visit.pid(1) == before
        visit.page.locator("#token").fill(TOKEN)
        visit.page.get_by_role("button", name="Go on").click()
        visit.see(visit.page.locator("#news"), "Restart rank 1: done")
        assert visit.pid(1) != before
        visit.complaints = [one for one in visit.complaints if "401" not in one]
        visit.row(0).locator("select").select_option("SIGKILL")  # and is not asked for again
        visit.page.get_by_role("button", name="Do it").click()
        visit.see(visit.page.locator("#news"), "Send SIGKILL to rank 0: done")


def test_an_action_can_be_thought_better_of(browser: Browser, token: None) -> None:
    with Visit(browser, QUIET) as visit:
        for button in ("Cancel", "Do it"):
            visit.page.get_by_role("button", name="Stop all").click()
            visit.page.get_by_role("button", name=button).click()
        expect(visit.page.locator("#ask")).to_be_visible(timeout=PATIENCE)
        visit.page.keyboard.press("Escape")  # no token
        expect(visit.page.locator("#ask")).not_to_be_visible(timeout=PATIENCE)
        visit.see(visit.row(0), "running")
        assert not [url for url in visit.asked if url.endswith("/stop")]


def test_an_action_is_for_the_run_that_it_was_confirmed_for(browser: Browser, token: None) -> None:
    """Although another one is shown by then, since that one has gone from the mapping."""
    other = {"name": "other", "title": "other", "state": "running", "ranks": {}}
    with Visit(browser, QUIET) as visit:
        visit.page.get_by_role("button", name="Stop all").click()
        runs = json.dumps({"now": 0, "actions": True, "runs": [other]})
        visit.page.route("**/api/runs", lambda route: route.fulfill(body=runs, content_type="application/json"))
        visit.see(visit.page.locator("#title"), "other")
        visit.page.get_by_role("button", name="Do it").click()
        visit.page.locator("#token").fill(TOKEN)
        visit.page.get_by_role("button", name="Go on").click()
        visit.see(visit.page.locator("#news"), "Stop all of workers: done")
        assert [url for url in visit.asked if url.endswith("/stop")] == [f"{visit.url}/api/runs/ranks/stop"]
        visit.complaints = [one for one in visit.complaints if "404" not in one]


def test_an_action_that_does_not_get_through_is_told(browser: Browser, token: None) -> None:
    with Visit(browser, QUIET) as visit:
        visit.page.route("**/stop", lambda route: route.abort())
        visit.page.get_by_role("button", name="Stop all").click()
        visit.page.get_by_role("button", name="Do it").click()
        visit.page.locator("#token").fill(TOKEN)
        visit.page.get_by_role("button", name="Go on").click()
        visit.see(visit.page.locator("#news"), "Stop all of workers: Failed to fetch")
        visit.complaints = [one for one in visit.complaints if "ERR_FAILED" not in one]


def test_why_there_is_no_stream_is_told_and_asked_again_in_peace(browser: Browser) -> None:
    asked: list[str] = []
    full = json.dumps({"detail": "100 watch already"})

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, body=full)

    with Visit(browser, QUIET) as visit:
        visit.page.route("**/stream", refuse)
        visit.page.reload()
        visit.see(visit.page.locator("#connection"), "100 watch already")
        before = len(asked)
        visit.page.wait_for_timeout(3000)
        assert len(asked) - before <= 8, "a stream and its reason each 1.5 s"
        visit.page.unroute("**/stream")
        visit.see(visit.page.locator("#connection"), "live")
        visit.complaints = [one for one in visit.complaints if "503" not in one]


def test_a_refusal_of_everything_is_told(browser: Browser) -> None:
    wrong = json.dumps({"detail": "started in another loop"})
    with Visit(browser, QUIET) as visit:
        visit.page.route("**/api/runs", lambda route: route.fulfill(status=500, body=wrong))
        visit.page.reload()
        visit.see(visit.page.locator("#connection"), "started in another loop")
        visit.complaints = [one for one in visit.complaints if "500" not in one]


def test_failures_that_could_not_be_fetched_are_asked_for_again(browser: Browser, token: None) -> None:
    with Visit(browser, QUIET, QUIET) as visit:
        visit.see(visit.row(1), "running")
        visit.page.route("**/failures", lambda route: route.abort())
        visit.signal(1, signal.SIGKILL)
        visit.see(visit.page.locator("#failure-count"), "1")
        visit.page.unroute("**/failures")
        visit.page.get_by_role("tab", name="Failures").click()
        visit.see(visit.page.locator("article.failure"), "Signal 9 (SIGKILL) received by PID")
        visit.complaints = [one for one in visit.complaints if "ERR_FAILED" not in one]


def test_a_new_failure_is_shown_when_their_number_does_not_grow(browser: Browser, token: None) -> None:
    """Only the last attempts of a supervisor are remembered."""
    with Visit(browser, QUIET) as visit:
        run = httpx.get(f"{visit.url}/api/runs/ranks").json() | {"failures": 100}
        tables = [{"now": 0, "run": run | {"failed_at": at}} for at in (1.0, 2.0)]
        stream = "".join(f"event: table\ndata: {json.dumps(table)}\n\n" for table in tables)
        visit.page.route("**/stream", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url) if "failures" in request.url else None)
        visit.page.reload()
        visit.see(visit.page.locator("#failure-count"), "100")
        visit.page.wait_for_timeout(300)
        assert len(asked) == 2
        visit.page.unroute("**/stream")


HIDDEN = """
let away = false;
Object.defineProperty(document, "hidden", { get: () => away });
window.turn = (hidden) => { away = hidden; document.dispatchEvent(new Event("visibilitychange")); };
"""


def test_more_tabs_than_a_browser_has_connections(browser: Browser) -> None:
    """A headless browser shows all of its tabs; so these are told when they are looked at."""
    with Visit(browser, CHATTY) as visit:
        visit.page.goto("about:blank")
        context = browser.new_context()
        context.set_default_timeout(PATIENCE)
        context.add_init_script(HIDDEN)
        tabs: list[Page] = []
        try:
            for _ in range(9):
                if tabs:
                    tabs[-1].evaluate("turn(true)")
                tabs.append(context.new_page())
                tabs[-1].goto(f"{visit.url}/")
                visit.see(tabs[-1].locator("#connection"), "live")
                visit.see(tabs[-1].locator("#log .row").last, "step")
            visit.see(tabs[0].locator("#connection"), "resting")
            expect(tabs[0]).to_have_title("workers: running", timeout=PATIENCE)
            tabs[-1].evaluate("turn(true)")
            tabs[0].evaluate("turn(false)")
            visit.see(tabs[0].locator("#connection"), "live")
            expect(tabs[7].locator("#connection")).to_have_text("live", timeout=PATIENCE)
            assert [tab.locator("#connection").inner_text() for tab in tabs].count("live") == 4
        finally:
            context.close()


def test_search_pause_and_choice(browser: Browser) -> None:
    with Visit(browser, CHATTY, QUIET) as visit:
        visit.see(visit.lines.last, "step")
        visit.page.get_by_label("Search the log").fill("HERE i")
        expect(visit.lines).to_have_count(1, timeout=PATIENCE)
        visit.see(visit.lines.first.locator("mark"), "here I")
        visit.page.get_by_label("Search the log").fill("")
        visit.page.get_by_role("button", name="Pause").click()
        visit.page.wait_for_timeout(300)
        shown = visit.lines.last.inner_text()
        visit.page.wait_for_timeout(1500)
        assert visit.lines.last.inner_text() == shown
        visit.page.get_by_role("button", name="Go on").click()
        expect(visit.lines.last).not_to_have_text(shown, timeout=PATIENCE)
        visit.page.get_by_label("Rank 1 in the log").check()
        expect(visit.lines).to_have_count(1, timeout=PATIENCE)
        visit.see(visit.lines.first, "here I am")
        visit.page.get_by_role("button", name="Log file").click()
        visit.see(visit.page.locator("#reader-text"), "here I am")
        visit.page.get_by_role("button", name="Close").click()
        visit.page.get_by_role("button", name="Show all").click()
        visit.see(visit.lines.last, "step")


def test_the_page_stays_small_whatever_comes(browser: Browser) -> None:
    loud = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); seq 1000; sleep 0.1; done; echo end; sleep 600"
    with Visit(browser, loud) as visit:
        visit.see(visit.lines.last, "end")
        assert visit.page.locator("#log *").count() < 1000
        visit.see(visit.page.locator("#counts"), "came too fast to be shown")


class Wire:
    """A way to the port of a service that can be cut, again and again."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Break every connection off."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                service = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += (client, service)
                for ends in ((client, service), (service, client)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=ends))
                    self._threads[-1].start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)


def test_nothing_is_missed_when_the_connection_is_lost(browser: Browser) -> None:
    with Visit(browser, CHATTY) as visit:
        wire = Wire(int(visit.url.split(":")[2].split("/")[0]))
        try:
            visit.url = f"http://127.0.0.1:{wire.port}/ranks"
            visit.page.goto(f"{visit.url}/")
            visit.see(visit.lines.last, "step")
            last = visit.lines.last.inner_text()
            for _ in range(3):
                wire.cut()
                expect(visit.lines.last).not_to_have_text(last, timeout=PATIENCE)
                last = visit.lines.last.inner_text()
            visit.see(visit.page.locator("#connection"), "live")
            steps = [int(found) for found in re.findall(r"step (\d+)", visit.page.inner_text("#log"))]
            assert steps == list(range(steps[0], steps[0] + len(steps)))
            visit.complaints.clear()  # about the connections
            visit.asked.clear()  # the first page was asked for directly
            visit.page.goto("about:blank")
        finally:
            wire.close()


def test_one_of_many_runs_is_chosen(browser: Browser) -> None:
    with Visit(browser, QUIET) as visit:
        visit.url = visit.url.replace("/ranks", "/many")
        visit.page.goto(f"{visit.url}/")
        visit.see(visit.lines, "here I am")
        visit.page.get_by_role("button", name="later").click()
        visit.see(visit.page.locator("#connection"), "not started")
        expect(visit.lines).to_have_count(0, timeout=PATIENCE)
        visit.see(visit.page.locator("#title"), "later")
        visit.page.get_by_role("button", name="a <b>&?#%2e").click()
        visit.see(visit.lines, "here I am")
        visit.see(visit.page.locator("#title"), "workers")
        visit.complaints = [one for one in visit.complaints if "409" not in one]
        visit.asked = {url for url in visit.asked if "/many/" in url}


def test_every_control_has_a_name_and_the_keyboard_reaches_the_tabs(browser: Browser, token: None) -> None:
    with Visit(browser, QUIET) as visit:
        expect(visit.row(0).locator("select")).to_be_visible(timeout=PATIENCE)
        for control in visit.page.locator("button:visible, input:visible, select:visible").all():
            name = control.evaluate("e => e.ariaLabel || e.innerText || e.labels?.[0]?.innerText || ''")
            assert name.strip(), control.evaluate("e => e.outerHTML")
        visit.page.get_by_role("tab", name="Logs").focus()
        visit.page.keyboard.press("ArrowRight")
        expect(visit.page.get_by_role("tab", name="Failures")).to_be_focused()
        expect(visit.page.locator("#failures")).to_be_visible()
