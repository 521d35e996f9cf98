"""What `make demo` is played with: `postwren` as processes with folders of their own, and somebody who tells what they do."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Host", "NotSo", "Story"]

_PATIENCE = 30  # seconds for whatever is waited for


class NotSo(Exception):
    """A step is not as told."""


class Host:
    """A machine: a folder with mail in it, commands that work on it, and perhaps a server that runs."""

    def __init__(self, name: str, folder: Path, port_base: int) -> None:
        self.name = name
        self.folder = folder
        self.log: list[str] = []
        self._port_base = port_base
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._logged = asyncio.Condition()

    def port(self, end: int) -> int:
        """Of a service, by the last two digits of its usual one."""
        return self._port_base + end

    async def command(self, *words: str, text: str = "") -> str:
        """Run a `postwren` command here; returns what it prints, and raises NotSo when it fails."""
        process = await self._run(*words, stdin=asyncio.subprocess.PIPE)
        printed, complaint = await process.communicate(f"{text}\n".encode())
        if process.returncode:
            raise NotSo(f"postwren {' '.join(words)}, on {self.name}: {printed.decode()}{complaint.decode()}")
        return printed.decode()

    async def start(self, *words: str) -> None:
        """Start the server, and wait until it is ready."""
        self._process = await self._run("serve", "--dev", "--port-base", str(self._port_base), *words)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._reading = asyncio.create_task(self._read(self._process.stderr))
        if not (await self._process.stdout.readline()).startswith(b"ready"):
            await self.stop()
            raise NotSo(f"{self.name} starts")

    async def stop(self) -> None:
        """End the server as an operator would."""
        process, self._process = self._process, None
        if process is not None and self._reading is not None:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            await self._reading

    async def says(self, *words: str, number: int = 1) -> str:
        """The line of the server's log that has all these words, as soon as there are so many of them: the last."""
        async with asyncio.timeout(_PATIENCE), self._logged:
            while len(found := [line for line in self.log if all(word in line for word in words)]) < number:
                await self._logged.wait()
            return found[number - 1]

    async def _read(self, log: asyncio.StreamReader) -> None:
        while line := await log.readline():
            async with self._logged:
                self.log.append(line.decode().rstrip())
                self._logged.notify_all()

    async def _run(self, *words: str, stdin: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        program = (sys.executable, "-m", "postwren", *words, "--data", str(self.folder))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTWREN_")}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*program, stdin=stdin, stdout=pipe, stderr=pipe, env=environment)


class Story:
    """Says what happens, numbered, and checks that it did."""

    def __init__(self) -> None:
        self._number = 0
        self._start = time.perf_counter()

    def part(self, title: str) -> None:
        """A heading."""
        print(f"\n{title}\n{'-' * len(title)}", flush=True)

    def tell(self, text: str) -> None:
        """One step that has happened."""
        self._number += 1
        print(f"{time.perf_counter() - self._start:6.1f} s  {self._number:2d}. {text}", flush=True)

    def show(self, lines: Sequence[str]) -> None:
        """What somebody sees."""
        print("".join(f"              | {line}\n" for line in lines), end="", flush=True)

    def expect(self, statement: bool, text: str) -> None:
        """The step must be as told; raises NotSo."""
        if not statement:
            raise NotSo(text)

    def end(self) -> None:
        """All of it was as told."""
        print(f"\n{self._number} steps, each of them checked, in {time.perf_counter() - self._start:.0f} seconds.", flush=True)
