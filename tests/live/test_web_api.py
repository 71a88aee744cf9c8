"""The dashboard's API, asked without a server, about real ranks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount

import aelastic
import aelastic.web
from tests.helpers.asgi import client
from tests.helpers.ranks import is_alive, line_of, python, redirected, shell
from tests.helpers.supervisors import AT_ONCE, LATER, STAYS, next_event, one_for_one, said, supervised

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import httpx
    from starlette.types import ASGIApp

pytestmark = pytest.mark.asyncio

TOKEN = "correct horse battery staple"  # noqa: S105 - it opens nothing else
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def answer(app: ASGIApp, path: str, status: int = 200) -> Any:
    async with client(app) as web:
        response = await web.get(path)
    assert response.status_code == status, response.text
    return response.json()


async def post(app: ASGIApp, path: str, **options: Any) -> httpx.Response:
    async with client(app) as web:
        return await web.post(f"/api/runs/ranks/{path}", **{"headers": BEARER, **options})


# What is shown


async def test_a_run_and_its_ranks(tmp_path: Path) -> None:
    async with shell("echo hello; exec sleep 600", "exec sleep 600", name="w", logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "hello")
        app = aelastic.web.dashboard(ctx)
        runs = await answer(app, "/api/runs")
        assert runs["runs"] == [{"name": "ranks", "title": "w", "state": "running", "ranks": {"running": 2}}]
        run = await answer(app, "/api/runs/ranks")
        assert (run["title"], run["state"], run["strategy"], run["actions"]) == (
            "w",
            "running",
            None,
            ["stop", "signal"],
        )
        first, second = run["ranks"]
        assert first["pid"] == ctx.pids()[0]
        assert (first["last_line"], first["ready"], second["last_line"]) == ("hello", True, "")
        assert await answer(app, "/api/runs/ranks/ranks/1") == second


async def test_before_the_start_ranks_are_pending() -> None:
    supervisor = one_for_one("true", "true")
    app = aelastic.web.dashboard(supervisor)
    run = await answer(app, "/api/runs/ranks")
    assert run["state"] == "pending"
    assert [rank["state"] for rank in run["ranks"]] == ["pending", "pending"]
    assert (await answer(app, "/readyz", 503))["missing"][0] == "rank 0 of ranks is pending, not ready"
    assert (await answer(app, "/api/runs/ranks/failures")) == {"failures": []}


async def test_a_function_may_give_nothing_yet() -> None:
    given: list[aelastic.PContext] = []
    app = aelastic.web.dashboard(lambda: given[0] if given else None)
    assert (await answer(app, "/api/runs/ranks"))["state"] == "absent"
    assert (await answer(app, "/api/runs/ranks/stream", 409))["detail"] == "this run is not there yet"
    assert (await answer(app, "/readyz", 503))["missing"] == ["ranks is absent"]
    async with shell("exec sleep 600") as ctx:
        given.append(ctx)
        assert (await answer(app, "/api/runs/ranks"))["state"] == "running"


@pytest.mark.parametrize(
    ("script", "state"), [("true", "succeeded"), ("exit 3", "failed"), ("exec sleep 600", "stopped")]
)
async def test_after_the_end(script: str, state: str) -> None:
    async with shell(script) as ctx:
        app = aelastic.web.dashboard(ctx)
        if state == "stopped":
            await ctx.close()
        await ctx.wait()
        run = await answer(app, "/api/runs/ranks")
        assert (run["state"], run["actions"]) == (state, [])
        assert run["failures"] == (state != "succeeded")
        assert (run["failed_at"] is None) == (state == "succeeded")


async def test_a_start_that_failed() -> None:
    supervisor = aelastic.Supervisor("w", "/does/not/exist", {0: ()}, {0: {}})
    with pytest.raises(FileNotFoundError):
        await supervisor.start()
    assert (await answer(aelastic.web.dashboard(supervisor), "/api/runs/ranks"))["state"] == "failed"


def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that turns in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("kind", [shell, one_for_one])
async def test_another_loop_than_that_of_the_ranks_is_told(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    there = contextlib.contextmanager(other_loop)
    with there() as loop:
        async with kind("exec sleep 600") as source:
            app = aelastic.web.dashboard(source, token=TOKEN)
            for path in ("", "/failures", "/ranks/0", "/stream", "/ranks/0/logs/stdout"):
                asked = answer(app, f"/api/runs/ranks{path}", 500)
                problem = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, loop))
                assert "'ranks' was started in another loop" in problem["detail"]
            for path in ("stop", "ranks/0/restart", "ranks/0/signal"):
                asked_for = post(app, path, json={"signal": "SIGKILL"})
                response = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked_for, loop))
                assert response.status_code == 500
            assert not source.done
            assert "'ranks' was started in another loop" in caplog.text
            assert (await answer(app, "/api/runs/ranks"))["state"] == "running"
        ended = answer(app, "/api/runs/ranks")
        over = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ended, loop))
        assert over["state"] == "stopped", "what is over may be looked at from anywhere"


async def test_sources_come_and_go() -> None:
    async with shell("exec sleep 600", name="one") as one, shell("true", name="two") as two:
        sources: dict[str, Any] = {"a": one}
        app = aelastic.web.dashboard(sources)
        sources["b"] = lambda: two
        assert [run["name"] for run in (await answer(app, "/api/runs"))["runs"]] == ["a", "b"]
        del sources["a"]
        assert [run["title"] for run in (await answer(app, "/api/runs"))["runs"]] == ["two"]
        await answer(app, "/api/runs/a", 404)


async def test_failures_with_their_traceback(tmp_path: Path) -> None:
    script = "from aelastic.errors import record\n@record\ndef main(): raise ValueError('no <b>good</b>')\nmain()"
    async with python(script, "import time; time.sleep(600)", logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
        first, second = (await answer(aelastic.web.dashboard(ctx), "/api/runs/ranks/failures"))["failures"]
    assert (first["rank"], first["exitcode"], first["collateral"]) == (0, 1, False)
    assert "ValueError: no <b>good</b>" in first["message"]
    assert (second["rank"], second["collateral"]) == (1, True)


async def test_failures_of_attempts_while_others_run(tmp_path: Path) -> None:
    async with one_for_one(STAYS, "echo why >&2; exit 7", restart=LATER, logs_specs=redirected(tmp_path)) as supervisor:
        await next_event(supervisor.events(), aelastic.RankRestarting, rank=1)
        app = aelastic.web.dashboard(supervisor)
        (failure,) = (await answer(app, "/api/runs/ranks/failures"))["failures"]
        assert (failure["rank"], failure["attempt"], failure["stderr_tail"]) == (1, 0, "why")
        run = await answer(app, "/api/runs/ranks")
        assert [rank["state"] for rank in run["ranks"]] == ["running", "waiting"]
        assert run["failures"] == 1


async def test_why_it_gave_up() -> None:
    async with supervised("exit 3", restart=aelastic.RestartPolicy(max_restarts=1, backoff=0)) as supervisor:
        await supervisor.wait()
        app = aelastic.web.dashboard(supervisor)
        run = await answer(app, "/api/runs/ranks")
        assert (run["state"], run["restarts"], run["failures"]) == ("failed", 1, 2)
        assert run["gave_up"]
        failures = (await answer(app, "/api/runs/ranks/failures"))["failures"]
        assert [failure["attempt"] for failure in failures] == [1, 0]


async def test_of_many_failures_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelastic.web.views.MOST_FAILURES", 3)
    policy = aelastic.RestartPolicy(max_restarts=4, backoff=0)
    async with supervised("exit 3", restart=policy) as supervisor:
        await supervisor.wait()
        app = aelastic.web.dashboard(supervisor)
        assert (await answer(app, "/api/runs/ranks"))["failures"] == 5
        failures = (await answer(app, "/api/runs/ranks/failures"))["failures"]
        assert [failure["attempt"] for failure in failures] == [4, 3, 2]


async def test_a_new_failure_is_seen_although_an_old_one_was_forgotten_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelastic.elastic.attempts.REMEMBERED", 2)
    async with one_for_one(STAYS, STAYS, restart=AT_ONCE) as supervisor:
        app, events = aelastic.web.dashboard(supervisor), supervisor.events()
        runs = [await answer(app, "/api/runs/ranks")]
        for attempt in range(1, 4):
            supervisor.send_signal(signal.SIGKILL, 1)
            await next_event(events, aelastic.RankStarted, rank=1, attempt=attempt)
            runs.append(await answer(app, "/api/runs/ranks"))
        latest = (await answer(app, "/api/runs/ranks/failures"))["failures"][0]
    assert [run["failures"] for run in runs] == [0, 1, 2, 2]
    assert runs[0]["failed_at"] is None
    assert runs[1]["failed_at"] < runs[2]["failed_at"] < runs[3]["failed_at"] == latest["failed_at"]


async def test_an_end_that_was_one_too_many_is_a_failure() -> None:
    policy = aelastic.RestartPolicy("always", max_restarts=1, backoff=0)
    async with supervised("true", restart=policy) as supervisor:
        await supervisor.wait()
        app = aelastic.web.dashboard(supervisor)
        (failure,) = (await answer(app, "/api/runs/ranks/failures"))["failures"]
        assert (failure["attempt"], failure["reason"]) == (1, "exited with code 0 once too often")


# Logs


async def test_a_log_by_pages(tmp_path: Path) -> None:
    async with shell("seq 1000; exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "1000")
        app, log = aelastic.web.dashboard(ctx), "/api/runs/ranks/ranks/0/logs/stdout"
        page = await answer(app, f"{log}?limit=20")
        assert page["text"] == "997\n998\n999\n1000\n"
        before = await answer(app, f"{log}?limit=20&before={page['start']}")
        assert before["text"].endswith("995\n996\n")
        assert (await answer(app, f"{log}?limit=8&after={before['end']}"))["text"] == "997\n998\n"
        assert (await answer(app, f"{log}?after=0&limit=6"))["text"] == "1\n2\n3\n"
        assert (await answer(app, "/api/runs/ranks/ranks/0/logs/stderr"))["size"] == 0


async def test_the_log_of_the_present_attempt(tmp_path: Path) -> None:
    async with one_for_one(STAYS, logs_specs=redirected(tmp_path)) as supervisor:
        await supervisor.restart(0)
        await said(supervisor, "ready 1")
        page = await answer(aelastic.web.dashboard(supervisor), "/api/runs/ranks/ranks/0/logs/stdout")
        assert page["text"] == "ready 1\n"


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/ranks/ranks/0/logs/..%2F..%2F..%2Fetc%2Fpasswd",
        "/api/runs/ranks/ranks/0/logs/%2Fetc%2Fpasswd",
        "/api/runs/ranks/ranks/../logs/stdout",
        "/api/runs/ranks/ranks/1/logs/stdout",
        "/api/runs/ranks/ranks/-1/logs/stdout",
        "/api/runs/ranks/ranks/9999999999999999999999/logs/stdout",
        f"/api/runs/ranks/ranks/{'9' * 5000}/logs/stdout",
        "/api/runs/ranks/ranks/\u0660/logs/stdout",
        "/api/runs/..%2Franks/ranks/0/logs/stdout",
        "/api/runs/other/ranks/0/logs/stdout",
        "/..%2F__init__.py",
        "/static/page.js",
    ],
)
async def test_no_path_leads_to_a_file(tmp_path: Path, path: str) -> None:
    async with shell("exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        problem = await answer(aelastic.web.dashboard(ctx), path, 404)
        assert "root:" not in json.dumps(problem)


@pytest.mark.parametrize("query", ["before=x", "after=-1", "limit=1e9", "limit=٣", "before=" + "9" * 30])
async def test_odd_numbers_are_refused(tmp_path: Path, query: str) -> None:
    async with shell("exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        await answer(aelastic.web.dashboard(ctx), f"/api/runs/ranks/ranks/0/logs/stdout?{query}", 422)


async def test_a_page_is_bounded(tmp_path: Path) -> None:
    async with shell("head -c 3000000 /dev/zero", logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
        page = await answer(aelastic.web.dashboard(ctx), "/api/runs/ranks/ranks/0/logs/stdout?limit=99999999")
        assert page["end"] - page["start"] == 1024 * 1024


async def test_a_log_that_is_gone(tmp_path: Path) -> None:
    async with shell("exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        path = ctx.stdouts[0]
        (tmp_path / path).unlink()
        problem = await answer(aelastic.web.dashboard(ctx), "/api/runs/ranks/ranks/0/logs/stdout", 404)
        assert str(tmp_path) not in problem["detail"], "nobody is told where logs are"


async def test_no_log_where_nothing_is_captured() -> None:
    async with shell("exec sleep 600") as ctx:
        await answer(aelastic.web.dashboard(ctx), "/api/runs/ranks/ranks/0/logs/stdout", 404)


# Actions


async def test_without_a_token_there_are_no_actions() -> None:
    async with shell("exec sleep 600") as ctx:
        app = aelastic.web.dashboard(ctx)
        assert (await post(app, "stop")).status_code in (404, 405)
        assert not (await answer(app, "/api/runs"))["actions"]
        assert not [
            path for path, methods in (await answer(app, "/openapi.json"))["paths"].items() if "post" in methods
        ]
        assert not ctx.done


@pytest.mark.parametrize("token", ["", "too short"])
async def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="token: expected 16 characters or more"):
        aelastic.web.dashboard({}, token=token)


@pytest.mark.parametrize("token", [TOKEN.encode(), 10**20, f"{TOKEN} ", f"{TOKEN}\n", f"\t{TOKEN}", f"{TOKEN} für"])
async def test_a_token_that_no_header_can_bring_is_refused(token: Any) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="token: expected printable ASCII") as caught:
        aelastic.web.dashboard({}, token=token)
    assert "battery" not in str(caught.value), "it may be secret all the same"


async def test_the_name_of_the_scheme_is_written_in_any_way() -> None:
    async with shell("exec sleep 600") as ctx:
        app = aelastic.web.dashboard(ctx, token=TOKEN)
        assert (await post(app, "stop", headers={"Authorization": f"bearer {TOKEN}"})).status_code == 204


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "15", None])
async def test_odd_times_are_refused(seconds: Any) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="heartbeat: expected more than 0 seconds"):
        aelastic.web.dashboard({}, heartbeat=seconds)
    if seconds != 0:
        with pytest.raises(aelastic.InvalidArgumentError, match="linger: expected 0 seconds or more"):
            aelastic.web.dashboard({}, linger=seconds)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"bearer {TOKEN}".encode().replace(b"c", b"\xe9")},
        {"Cookie": f"token={TOKEN}", "Origin": "https://elsewhere.example"},
    ],
)
async def test_who_has_no_token_does_nothing(headers: dict[str, Any]) -> None:
    async with one_for_one(STAYS) as supervisor:
        app, pids = aelastic.web.dashboard(supervisor, token=TOKEN), supervisor.pids()
        for path in ("stop", "ranks/0/restart", "ranks/0/stop", "ranks/0/start", "ranks/0/signal", "ranks/7/stop"):
            response = await post(app, path, headers=headers, json={"signal": "SIGKILL"})
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        form = await post(app, "stop", headers=headers, data={"token": TOKEN}, params={"token": TOKEN})
        assert form.status_code == 401
        assert supervisor.pids() == pids
        assert not supervisor.done


async def test_actions_are_for_post_alone() -> None:
    async with shell("exec sleep 600") as ctx, client(aelastic.web.dashboard(ctx, token=TOKEN)) as web:
        for method in ("GET", "HEAD", "PUT", "OPTIONS", "DELETE"):
            response = await web.request(method, "/api/runs/ranks/stop", headers=BEARER)
            assert response.status_code == 405, method
            assert "access-control-allow-origin" not in response.headers
        assert not ctx.done


async def test_stop() -> None:
    async with shell("exec sleep 600") as ctx:
        app = aelastic.web.dashboard(ctx, token=TOKEN)
        assert (await post(app, "stop")).status_code == 204
        result = await ctx.wait()
        assert result is not None
        assert result.exitcodes == {0: -signal.SIGTERM}
        assert (await post(app, "stop")).status_code == 409


async def test_a_rank_is_restarted_stopped_and_started() -> None:
    async with one_for_one(STAYS, STAYS) as supervisor:
        app, before = aelastic.web.dashboard(supervisor, token=TOKEN), supervisor.pids()
        assert (await post(app, "ranks/1/restart")).status_code == 204
        assert supervisor.pids()[1] != before[1]
        assert not is_alive(before[1])
        assert (await post(app, "ranks/0/stop")).status_code == 204
        assert 0 not in supervisor.pids()
        assert (await post(app, "ranks/0/start")).status_code == 204
        assert supervisor.pids()[0] != before[0]


async def test_what_cannot_be_done_is_said() -> None:
    async with shell("exec sleep 600") as ctx, supervised(STAYS, STAYS) as gang:
        plain, supervisor = aelastic.web.dashboard(ctx, token=TOKEN), aelastic.web.dashboard(gang, token=TOKEN)
        assert (await post(plain, "ranks/0/restart")).status_code == 422
        response = await post(supervisor, "ranks/0/stop")
        assert (response.status_code, "one_for_one" in response.json()["detail"]) == (422, True)
        assert (await post(plain, "ranks/1/signal", json={"signal": "SIGUSR1"})).status_code == 404
        await gang.close()
        assert (await post(supervisor, "ranks/0/restart")).status_code == 409


async def test_a_signal(tmp_path: Path) -> None:
    script = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done"
    async with shell(script, script, logs_specs=redirected(tmp_path)) as ctx:
        for rank in (0, 1):
            await line_of(ctx, "ready", rank)
        app = aelastic.web.dashboard(ctx, token=TOKEN)
        assert (await post(app, "ranks/1/signal", json={"signal": "SIGUSR1"})).status_code == 204
        assert (await line_of(ctx, "got it")).rank == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"signal": "SIGNOTHING"}}, 422),
        ({"json": {"signal": 9}}, 422),
        ({"json": []}, 422),
        ({"content": b"\xff{"}, 422),
        ({"content": b""}, 422),
        ({"content": b'{"x":' + b"[" * 1018}, 422),
        ({"content": b" " * 2000}, 413),
    ],
)
async def test_odd_signals_are_refused(body: dict[str, Any], status: int) -> None:
    async with shell("exec sleep 600") as ctx:
        assert (await post(aelastic.web.dashboard(ctx, token=TOKEN), "ranks/0/signal", **body)).status_code == status
        assert not ctx.done


async def test_a_client_that_leaves_amid_its_request_is_no_fault_of_the_service() -> None:
    coming = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message)

    async with shell("exec sleep 600") as ctx:
        scope = {"type": "http", "method": "POST", "path": "/api/runs/ranks/ranks/0/signal", "query_string": b""}
        headers = [(b"authorization", BEARER["Authorization"].encode())]
        await aelastic.web.dashboard(ctx, token=TOKEN)({**scope, "headers": headers}, receive, send)
        assert sent[0]["status"] == 499
        assert not ctx.done


# Health and figures


async def test_health() -> None:
    script = "import aelastic.rank as r, sys; sys.stdin.readline(); r.ready(); sys.stdin.readline()"
    async with python(script, readiness=aelastic.Notify()) as ctx:
        app = aelastic.web.dashboard(ctx)
        assert await answer(app, "/healthz") == {"ready": True, "missing": []}
        # Its standard input is at its end, so that it becomes ready and ends.
        await next_event(ctx.events(), aelastic.RankExited)
        assert (await answer(app, "/readyz", 503))["missing"] == ["rank 0 of ranks is exited"]


async def test_ready_when_all_ranks_are() -> None:
    script = "import aelastic.rank as r, time; r.ready(); time.sleep(600)"
    async with python(script, "import time; time.sleep(600)", readiness=aelastic.Notify()) as ctx:
        await ctx.ready(rank=0)
        app = aelastic.web.dashboard(ctx)
        assert (await answer(app, "/readyz", 503))["missing"] == ["rank 1 of ranks is running, not ready"]
    async with python(script, script, readiness=aelastic.Notify()) as ctx:
        await ctx.ready()
        assert await answer(aelastic.web.dashboard(ctx), "/readyz") == {"ready": True, "missing": []}
    assert (await answer(aelastic.web.dashboard({}), "/readyz", 503))["missing"] == ["there is no run"]


async def figures(app: ASGIApp, **headers: str) -> dict[tuple[str, ...], float]:
    async with client(app) as web:
        response = await web.get("/metrics", headers=headers)
    families = text_string_to_metric_families(response.text)
    samples = [sample for family in families for sample in family.samples]
    return {(one.name, *(one.labels[name] for name in sorted(one.labels))): one.value for one in samples}


async def test_metrics(tmp_path: Path) -> None:
    async with one_for_one("echo 12345; exit 3", STAYS, restart=LATER, logs_specs=redirected(tmp_path)) as supervisor:
        app = aelastic.web.dashboard({"a": supervisor})
        await next_event(supervisor.events(), aelastic.RankRestarting)
        await said(supervisor, "ready", 1)
        now = await figures(app)
        assert now["aelastic_ranks", "a", "running"] == 1
        assert now["aelastic_ranks", "a", "waiting"] == 1
        assert now["aelastic_ranks_ready", "a"] == 1
        assert now["aelastic_rank_exits_total", "3", "0", "a"] == 1
        assert now["aelastic_log_bytes_total", "1", "a", "stdout"] == len("ready 0\n")
        assert now["aelastic_log_lost_bytes_total", "1", "a", "stdout"] == 0
        assert now["aelastic_watchers",] == 0
        assert 0 <= now["aelastic_event_loop_lag_seconds",] < 60
        await supervisor.restart(1)
        later = await figures(app)
        assert later["aelastic_rank_restarts_total", "1", "a"] == 1
        assert later["aelastic_rank_exits_total", "-15", "1", "a"] == 1
        assert later["aelastic_rank_exits_total", "3", "0", "a"] == 1, "an exit is counted once"


async def test_metrics_as_openmetrics_and_of_nothing() -> None:
    async with client(aelastic.web.dashboard(lambda: None)) as web:
        response = await web.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


# The description


@pytest_asyncio.fixture
async def described(tmp_path: Path) -> AsyncIterator[tuple[ASGIApp, dict[str, Any]]]:
    """A dashboard of a supervisor of which one rank has failed, and its description."""
    async with one_for_one(STAYS, "exit 3", restart=LATER, logs_specs=redirected(tmp_path)) as supervisor:
        await next_event(supervisor.events(), aelastic.RankRestarting)
        app = aelastic.web.dashboard(supervisor, token=TOKEN)
        yield app, await answer(app, "/openapi.json")


async def test_the_description_is_valid(described: tuple[ASGIApp, dict[str, Any]]) -> None:
    OpenAPIV31SpecValidator(described[1]).validate()


async def test_answers_are_as_described(described: tuple[ASGIApp, dict[str, Any]]) -> None:
    app, document = described
    assert len(document["paths"]) == 14
    for path, methods in document["paths"].items():
        asked = path.format(run="ranks", rank=0, stream="stdout")
        if "get" not in methods or "text/event-stream" in methods["get"]["responses"]["200"]["content"]:
            continue
        async with client(app) as web:
            response = await web.get(asked)
            missing = await web.get(path.format(run="nothing", rank=0, stream="stdout"))
        check(document, methods["get"]["responses"]["200"], response)
        if "{run}" in path:
            assert missing.status_code == 404
            check(document, methods["get"]["responses"]["404"], missing)


REFUSALS: list[tuple[str, str, str, dict[str, Any], int]] = [
    ("GET", "/api/runs/{run}/ranks/{rank}", "absent", {}, 409),
    ("GET", "/api/runs/{run}/stream", "absent", {}, 409),
    ("GET", "/api/runs/{run}/ranks/{rank}/logs/{stream}", "absent", {}, 409),
    ("GET", "/api/runs/{run}/ranks/{rank}/logs/{stream}", "ranks", {"params": {"limit": "-1"}}, 422),
    ("GET", "/readyz", "", {}, 503),
    ("POST", "/api/runs/{run}/stop", "absent", {}, 409),
    ("POST", "/api/runs/{run}/stop", "nothing", {}, 404),
    ("POST", "/api/runs/{run}/stop", "ranks", {"headers": {}}, 401),
    ("POST", "/api/runs/{run}/ranks/{rank}/restart", "gang", {}, 422),
    ("POST", "/api/runs/{run}/ranks/{rank}/signal", "ranks", {"content": b"{"}, 422),
    ("POST", "/api/runs/{run}/ranks/{rank}/signal", "ranks", {"content": b" " * 2000}, 413),
]


async def test_refusals_are_as_described(tmp_path: Path) -> None:
    specs = redirected(tmp_path)
    async with one_for_one(STAYS, logs_specs=specs) as supervisor, shell("exec sleep 600") as gang:
        app = aelastic.web.dashboard({"ranks": supervisor, "gang": gang, "absent": lambda: None}, token=TOKEN)
        document = await answer(app, "/openapi.json")
        async with client(app) as web:
            for method, path, run, options, status in REFUSALS:
                asked = path.format(run=run, rank=0, stream="stdout")
                response = await web.request(method, asked, **({"headers": BEARER} | options))
                assert response.status_code == status, asked
                check(document, document["paths"][path][method.lower()]["responses"][str(status)], response)
        too_many = document["paths"]["/api/runs/{run}/ranks/{rank}/logs/{stream}"]["get"]["responses"]
        assert "503" in too_many, "as many readers are made to wait for their turn"


def check(document: dict[str, Any], description: dict[str, Any], response: httpx.Response) -> None:
    """``response`` is what the ``description`` of the operation says."""
    ((media, content),) = description["content"].items()
    assert response.headers["content-type"].split(";")[0] == media
    if media == "application/json":
        schema = {**content["schema"], "components": document["components"]}
        OAS31Validator(closed(schema)).validate(response.json())


def closed(schema: Any) -> Any:
    """The same, but nothing may be there that is not described."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        return {**inner, "additionalProperties": False} if "properties" in schema else inner
    return [closed(one) for one in schema] if isinstance(schema, list) else schema


# Where it is mounted, and what browsers are told


def mounted_by_starlette(app: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/a/ranks", app)])


def mounted_by_fastapi(app: ASGIApp) -> ASGIApp:
    fastapi = pytest.importorskip("fastapi")
    made = fastapi.FastAPI()
    made.mount("/a/ranks", app)
    return made  # type: ignore[no-any-return]


def mounted_with_its_whole_path(app: ASGIApp) -> ASGIApp:
    """As hypercorn's dispatcher does, for Quart."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": scope["root_path"] + "/a/ranks"}, receive, send)

    return outer


def mounted_with_the_rest_of_the_path(app: ASGIApp) -> ASGIApp:
    """As older ASGI servers did."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/a/ranks")
        await app({**scope, "path": path, "root_path": "/a/ranks"}, receive, send)

    return outer


@pytest.mark.parametrize(
    "mount",
    [mounted_by_starlette, mounted_by_fastapi, mounted_with_its_whole_path, mounted_with_the_rest_of_the_path],
)
async def test_it_works_under_any_prefix(mount: Callable[[ASGIApp], ASGIApp]) -> None:
    supervisor = one_for_one("true")
    async with client(mount(aelastic.web.dashboard(supervisor))) as web:
        web.follow_redirects = True
        page = await web.get("/a/ranks")
        assert page.status_code == 200
        assert str(page.url) == "http://service/a/ranks/"
        assert '<script type="module" src="page.js">' in page.text
        for name in ("page.js", "page.css", "log.js", "text.js", "icon.svg", "api/runs", "openapi.json", "healthz"):
            assert (await web.get(f"/a/ranks/{name}")).status_code == 200, name


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/runs", "/api/runs/nothing", "/nothing", "/metrics"])
async def test_browsers_are_told_to_be_careful(path: str) -> None:
    async with client(aelastic.web.dashboard({})) as web:
        headers = (await web.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in ("no-store", "no-cache")


async def test_the_page_is_not_sent_twice() -> None:
    async with client(aelastic.web.dashboard({})) as web:
        first = await web.get("/page.js")
        again = await web.get("/page.js", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [({"a/b": None}, "a name without a slash"), ({"..": None}, "a name without a slash"), (3, "got int")],
)
async def test_odd_sources_are_refused(given: Any, complaint: str) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match=complaint):
        aelastic.web.dashboard(given)


async def test_many_readers_wait_for_their_turn(tmp_path: Path) -> None:
    async with shell("seq 100", logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
        app = aelastic.web.dashboard(ctx)
        async with client(app) as web:
            asked = [web.get("/api/runs/ranks/ranks/0/logs/stdout") for _ in range(30)]
            codes = [response.status_code for response in await asyncio.gather(*asked)]
        assert set(codes) <= {200, 503}
        assert 200 in codes
        await answer(app, "/api/runs/ranks/ranks/0/logs/stdout")
