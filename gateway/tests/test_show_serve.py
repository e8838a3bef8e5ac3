"""The server inside the station's event loop: it answers, it ends with the station, it says when the port is taken."""

import asyncio
import contextlib
import socket

import httpx
import pytest
from suat.config import Config
from suat.errors import SuatError
from suat.show.serve import listen, serve
from suat.store.journal import Journal


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_it_serves_and_stops(tmp_path):
    bind = f"127.0.0.1:{free_port()}"
    config = Config.model_validate({"station": {"name": "T", "data_dir": str(tmp_path)}, "board": {"bind": bind}})
    with Journal(tmp_path / "journal.db", durable=False) as journal:
        async with contextlib.AsyncExitStack() as cleanup:
            task = await serve(config, journal.reader(), lambda: 0, cleanup)
            async with httpx.AsyncClient(base_url=f"http://{bind}") as client:
                answer = await client.get("/healthz")
            assert answer.json()["status"] == "ok"
            assert "server" not in answer.headers
            assert not task.done()
    assert task.done()
    await asyncio.sleep(0)
    listen(bind).close()  # the port is free again


@pytest.mark.parametrize("method", [b"GET", b"POST", b"CONNECT", b"HEAD"])
@pytest.mark.parametrize(("path", "pause"), [(b"/", 0), (b"/", 0.1), (b"/session", 0), (b"/session", 0.1)])
async def test_a_body_that_turns_to_nonsense_leaves_no_traceback(tmp_path, caplog, method, path, pause):
    """uvicorn would answer the nonsense with 400 and then fail at the request's own answer."""
    bind = f"127.0.0.1:{free_port()}"
    config = Config.model_validate({"station": {"name": "T", "data_dir": str(tmp_path)}, "board": {"bind": bind}})
    with Journal(tmp_path / "journal.db", durable=False) as journal:
        async with contextlib.AsyncExitStack() as cleanup:
            await serve(config, journal.reader(), lambda: 0, cleanup)
            await asyncio.sleep(0.05)
            reader, writer = await asyncio.open_connection(*bind.split(":"))
            head = method + b" " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await asyncio.sleep(pause)
            writer.write(b"0NN\r\n")
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 4") or path == b"/"
    assert not [record for record in caplog.records if record.exc_info]


def test_a_taken_port_is_one_clear_line():
    with listen("127.0.0.1:0") as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SuatError, match=r"^board: 127\.0\.0\.1:\d+: .*; choose another"):
            listen(bind)
