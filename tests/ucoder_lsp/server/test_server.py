"""The real server over stdio, with the embedded model and an editor."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol import types

from benchmarks.night import ask
from sandbox.limits import Limits
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program
from sandbox.values import Value
from tests.support.tiny_gguf import write_adapter, write_model
from tests.ucoder_lsp.server.small_functions import TASKS
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.demo import STOPS, typed_document
from ucoder_lsp.files import file_sha256
from ucoder_lsp.server.client import SERVER, Editor

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
WORKSPACE = Path(__file__).parents[3] / "examples" / "workspace"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def editor(prepared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    """Yield one server for all tests, with its own cache and data."""
    data = tmp_path_factory.mktemp("data")
    command = (*SERVER, "--cache-dir", str(prepared_cache), "--data-dir", str(data), "--deadline-ms", "60000")
    async with Editor(tmp_path_factory.mktemp("workspace"), command=command) as editor:
        await editor.ready()
        yield editor


async def complete(editor: Editor, name: str, text: str) -> dict[str, Any]:
    """Return the explained completion at the end of `text`."""
    uri = editor.open(name, text)
    line = text.count("\n")
    ghost = await editor.inline_completion(uri, line, len(text) - (text.rfind("\n") + 1))
    explanation = await editor.explain_last()
    assert explanation is not None
    assert ghost, "something is offered"
    assert explanation["text"] == ghost
    return explanation


async def test_ten_small_functions_pass_hidden_tests(editor: Editor) -> None:
    right: list[str] = []
    by_consensus: list[str] = []
    async with Sandbox(workers=1) as sandbox:
        for task in TASKS:
            prefix = task.stub + "    "
            explanation = await complete(editor, f"{task.name}.py", prefix)
            program = Program(prefix + explanation["text"] + "\n")
            job = Job(program, tuple(Call(task.name, arguments) for arguments, _ in task.cases), Limits())
            (result,) = await sandbox.arun([job])
            answers = [outcome.value for outcome in result.outcomes]
            if answers == [Value.of(expected) for _, expected in task.cases]:
                right.append(task.name)
            if explanation["decidedBy"] == "consensus":
                by_consensus.append(task.name)
    assert len(right) >= 10, f"right: {right}"
    assert len(by_consensus) >= 10, f"chosen by behaviour that ran: {by_consensus}"


async def test_every_stop_of_the_demo_is_offered_something_that_parses(editor: Editor) -> None:
    for stop in STOPS:
        text, line, character = typed_document(WORKSPACE, stop)
        ghost = await editor.inline_completion(editor.open(stop.file, text), line, character)
        lines = text.split("\n")
        lines[line] = lines[line][:character] + ghost + lines[line][character:]
        compile("\n".join(lines), stop.file, "exec")
        assert ghost.strip(), stop.title


async def test_the_explanation_is_consistent(editor: Editor) -> None:
    explanation = await complete(editor, "even.py", "# fresh: not from the cache\n" + TASKS[0].stub + "    ")
    assert explanation["decidedBy"] == "consensus"
    assert explanation["sandboxTier"] in (1, 2)
    assert explanation["candidates"][explanation["winner"]]["text"] == explanation["text"]
    assert sum(candidate["count"] for candidate in explanation["candidates"]) == 8
    for cluster in explanation["clusters"]:
        assert len(cluster["behaviour"]) == len(explanation["probes"])
        assert all(explanation["candidates"][member]["cluster"] is not None for member in cluster["members"])
    assert explanation["timings"]["execution_ms"] > 0
    assert explanation["timings"]["total_ms"] >= explanation["timings"]["decode_ms"]


async def test_nothing_that_does_not_parse_is_offered(editor: Editor) -> None:
    uri = editor.open("hopeless.py", "x = 1\ny = ) ] } ")
    assert await editor.inline_completion(uri, 1, 10) == ""
    explanation = await editor.explain_request()
    assert explanation is not None
    assert explanation["decidedBy"] == "nothing"
    assert all(candidate["status"].startswith("dropped") for candidate in explanation["candidates"])


async def test_the_header_of_a_block_is_offered(editor: Editor) -> None:
    explanation = await complete(
        editor,
        "header.py",
        'def show(numbers: list[int]) -> None:\n    """Print every number."""\n    for number in ',
    )
    assert explanation["text"] == "numbers:"


async def test_typing_the_ghost_text_is_answered_from_the_cache(editor: Editor) -> None:
    prefix = TASKS[1].stub + "    "
    first = await complete(editor, "typed.py", prefix)
    again = await complete(editor, "typed.py", prefix + first["text"][:4])
    assert again["cached"]
    assert again["text"] == first["text"][4:]


async def test_the_server_announces_both_kinds_of_completion(editor: Editor) -> None:
    capabilities = editor.capabilities
    assert capabilities is not None
    assert capabilities.inline_completion_provider
    assert capabilities.completion_provider is not None


async def test_a_file_of_the_workspace_is_never_imported_by_the_server(tmp_path: Path) -> None:
    for name in ("numbers", "json", "click", "ucoder_lsp"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the workspace ran')\n")
    command = (*SERVER, "--model", str(tmp_path / "no.gguf"), "--data-dir", str(tmp_path / "data"))
    statuses: list[dict[str, Any]] = []
    async with Editor(tmp_path, command=command, on_status=statuses.append, cwd=tmp_path) as editor:
        assert (await editor.status())["state"] in ("preparing", "error")


async def test_plain_completion_for_editors_without_ghost_text(prepared_cache: Path, tmp_path: Path) -> None:
    command = (
        *SERVER,
        "--cache-dir",
        str(prepared_cache),
        "--data-dir",
        str(tmp_path),
        "--deadline-ms",
        "60000",
    )
    async with Editor(tmp_path, command=command, inline=False) as editor:
        await editor.ready()
        text = TASKS[0].stub + "    ret"
        uri = editor.open("plain.py", text)
        position = types.Position(text.count("\n"), 7)
        result = await editor.client.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(uri), position)
        )
        assert isinstance(result, types.CompletionList)
        (item,) = result.items
        assert isinstance(item.text_edit, types.TextEdit)
        assert item.text_edit.new_text.startswith("ret")
        assert item.text_edit.range.start.character == 4
        assert item.label.startswith("ret")


async def test_a_cursor_outside_the_document_is_reported_and_the_server_goes_on(editor: Editor) -> None:
    uri = editor.open("short.py", "x = 1\n")
    assert await editor.inline_completion(uri, 7, 0) == ""
    assert await editor.inline_completion(uri, 0, 99) == ""
    reported = [message for message in editor.messages if "short.py" in message]
    assert "Line 8 is outside the document, which has 2 lines." in reported[0]
    assert "Column 100 is outside line 1" in reported[1]
    assert (await editor.status())["state"] == "ready"


async def test_a_document_that_does_not_parse_is_still_completed(editor: Editor) -> None:
    explanation = await complete(
        editor, "broken.py", "def broken(:\n    x = = 1\n\n\n" + TASKS[0].stub + "    "
    )
    assert explanation["decidedBy"] == "consensus"
    assert "% 2" in explanation["text"]


async def test_columns_are_utf_16_units(editor: Editor) -> None:
    text = '# 😀😀\ndef smile(n: int) -> int:\n    """Return n plus one. 😀"""\n    return n + '
    line = "    return n + "
    uri = editor.open("smile.py", text)
    ghost = await editor.inline_completion(uri, 3, len(line))
    assert ghost.startswith("1")
    with_emoji = 'x = "😀" + '
    uri = editor.open("emoji.py", with_emoji)
    await editor.inline_completion(uri, 0, len(with_emoji) + 1)
    assert not any("emoji.py" in message for message in editor.messages)


async def test_a_cancelled_request_leaves_the_server_ready(editor: Editor) -> None:
    uri = editor.open(
        "cancel.py", 'def cancelled(items: list[str]) -> dict[str, int]:\n    """Count the items."""\n    '
    )
    for _ in range(5):
        task = asyncio.create_task(editor.inline_completion(uri, 2, 4))
        await asyncio.sleep(0.02)
        task.cancel()
    assert (await complete(editor, "after.py", TASKS[2].stub + "    "))["text"]


async def failing_server(tmp_path: Path, *flags: str, **environment: str) -> tuple[dict[str, Any], list[str]]:
    """Return the status and the messages of a server with a problem.

    It has answered one request by then.
    """
    statuses: list[dict[str, Any]] = []
    command = ("env", *(f"{key}={value}" for key, value in environment.items()), *SERVER)
    command = (*command, "--data-dir", str(tmp_path / "data"), *flags)
    async with Editor(tmp_path, command=command, on_status=statuses.append) as editor:
        while not statuses or statuses[-1]["state"] == "preparing":
            await asyncio.sleep(0.02)
        uri = editor.open("any.py", TASKS[0].stub + "    ")
        ghost = await editor.inline_completion(uri, 2, 4)
        assert bool(ghost) == (statuses[-1]["state"] == "ready")
        return await editor.status(), editor.messages


async def test_a_missing_model_file_is_one_sentence(tmp_path: Path) -> None:
    status, messages = await failing_server(tmp_path, "--model", str(tmp_path / "no.gguf"))
    assert status["state"] == "error"
    assert str(tmp_path / "no.gguf") in status["message"]
    assert status["message"] in messages


async def test_a_server_that_is_still_preparing_ends_at_once(tmp_path: Path) -> None:
    """Reading this model, a pipe without a writer, never ends.

    An editor waits at most two seconds.
    """
    os.mkfifo(tmp_path / "endless.gguf")
    command = (*SERVER, "--model", str(tmp_path / "endless.gguf"), "--data-dir", str(tmp_path / "data"))
    async with asyncio.timeout(60), Editor(tmp_path, command=command) as editor:
        assert (await editor.status())["state"] == "preparing"
    server = editor.client._server
    assert server is not None
    assert server.returncode == 0


async def test_a_corrupt_model_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + b"\x00" * 100)
    status, messages = await failing_server(tmp_path, "--model", str(path), "--cache-dir", str(tmp_path))
    assert status["state"] == "error"
    assert "bad.gguf" in status["message"]
    assert status["message"] in messages


async def test_without_bubblewrap_it_ranks_without_execution_and_names_the_package(
    tmp_path: Path, prepared_cache: Path
) -> None:
    status, messages = await failing_server(
        tmp_path, "--cache-dir", str(prepared_cache), "--deadline-ms", "60000", PATH=str(tmp_path)
    )
    assert status["state"] == "ready"
    assert status["sandboxTier"] is None
    assert any("bubblewrap" in message for message in messages)


async def test_an_unknown_setting_is_reported_and_ignored(tmp_path: Path, prepared_cache: Path) -> None:
    command = (*SERVER, "--cache-dir", str(prepared_cache), "--data-dir", str(tmp_path))
    async with Editor(tmp_path, command=command, options={"candidats": 4, "execution": False}) as editor:
        status = await editor.ready()
        assert status["sandboxTier"] is None
        assert any("did you mean 'candidates'?" in message for message in editor.messages)


async def test_candidates_run_under_the_interpreter_of_the_workspace(
    tmp_path: Path, prepared_cache: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")], check=True)
    (site,) = (tmp_path / ".venv" / "lib").glob("python*/site-packages")
    (site / "workspace_only.py").write_text("def double(n):\n    return 2 * n\n")
    command = (*SERVER, "--cache-dir", str(prepared_cache), "--data-dir", str(tmp_path / "data"),
               "--deadline-ms", "60000", "--python", ".venv/bin/python")  # fmt: skip
    text = "from workspace_only import double\n\n\ndef four_times(n: int) -> int:\n    return double(double("
    async with Editor(tmp_path, command=command) as editor:
        await editor.ready()
        explanation = await complete(editor, "mine.py", text)
    assert explanation["decidedBy"] == "consensus"
    assert explanation["text"] == "n))"
    first = explanation["probes"].index("four_times(2)")
    assert explanation["clusters"][0]["behaviour"][first] == "8"


async def test_a_missing_interpreter_is_one_sentence(tmp_path: Path, prepared_cache: Path) -> None:
    status, messages = await failing_server(
        tmp_path, "--cache-dir", str(prepared_cache), "--deadline-ms", "60000", "--python", "no/such/python"
    )
    assert status["sandboxTier"] is None
    assert any("no/such/python" in message for message in messages)


async def test_nothing_is_written_outside_the_cache_and_data_directories(
    tmp_path: Path, prepared_cache: Path
) -> None:
    workspace, home = tmp_path / "workspace", tmp_path / "home"
    workspace.mkdir()
    command = (*SERVER, "--cache-dir", str(prepared_cache), "--data-dir", str(tmp_path / "data"),
               "--deadline-ms", "60000")  # fmt: skip
    async with Editor(workspace, command=command) as editor:
        await editor.ready()
        await complete(editor, "quiet.py", TASKS[0].stub + "    ")
    assert list(workspace.iterdir()) == []
    assert not home.exists()


async def test_a_published_adapter_is_served_with_the_next_request(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.gguf")
    registry = AdapterRegistry(tmp_path / "data" / "adapters", file_sha256(model))
    command = (*SERVER, "--model", str(model), "--cache-dir", str(tmp_path / "cache"),
               "--data-dir", str(tmp_path / "data"), "--max-tokens", "4", "--context-tokens", "64")  # fmt: skip
    async with Editor(tmp_path, command=command) as editor:
        await editor.ready()
        served: list[str | None] = []
        wanted: list[str | None] = []
        for number in range(6):
            if number % 3:
                adapter = write_adapter(tmp_path / f"{number}.gguf", seed=number)
                version = registry.publish(adapter, base_name="tiny", training_run="test", metrics={})
                wanted.append(version.identity)
            else:
                registry.use(None)
                wanted.append(None)
            uri = editor.open("swap.py", f"x{number} = ")
            await editor.inline_completion(uri, 0, len(f"x{number} = "))
            explanation = await editor.explain_request()
            assert explanation is not None
            served.append(explanation["adapter"])
        assert served == wanted
        assert (await editor.status())["adapter"] == version.version


async def test_the_night_benchmark_counts_only_its_own_answers(editor: Editor, tmp_path: Path) -> None:
    explanation = await ask(editor, 1)
    assert explanation is not None
    assert explanation["function"] == "double_1"
    command = (*SERVER, "--model", str(tmp_path / "no.gguf"), "--data-dir", str(tmp_path / "data"))
    async with Editor(tmp_path, command=command) as failing:
        assert await ask(failing, 1) is None


async def test_a_damaged_adapter_is_reported_once_until_it_is_replaced(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.gguf")
    registry = AdapterRegistry(tmp_path / "data" / "adapters", file_sha256(model))
    command = (*SERVER, "--model", str(model), "--cache-dir", str(tmp_path / "cache"),
               "--data-dir", str(tmp_path / "data"), "--max-tokens", "4", "--context-tokens", "64")  # fmt: skip
    good, bad = (
        registry.publish(
            write_adapter(tmp_path / f"{seed}.gguf", seed=seed), base_name="b", training_run="r", metrics={}
        )
        for seed in range(2)
    )
    registry.use(good.version)
    statuses: list[str] = []
    async with Editor(tmp_path, command=command, on_status=lambda s: statuses.append(s["message"])) as editor:
        await editor.ready()

        async def message() -> str:
            await editor.inline_completion(editor.open("a.py", f"x{len(statuses)} = "), 0, 4)
            status = await editor.status()
            assert status["adapter"] == good.version
            return str(status["message"])

        assert await message() == f"Serving {good.version}."
        registry.use(bad.version)
        bad.path.write_bytes(b"GGUF")
        assert "damaged" in await message()
        assert "damaged" in await message()
        registry.rollback()
        assert await message() == f"Serving {good.version}."
    # Not by "damaged": the first status names the model's file, in a folder with this test's name.
    assert len([status for status in statuses if "ucoder adapters rollback" in status]) == 1
