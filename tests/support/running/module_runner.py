# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module of this collection alone, as Ansible does on a managed host, without a playbook.

``module_command`` is a process of its own for each run. ``ModuleServer`` imports the module once,
with all that it imports late, and forks for each run, which takes a twentieth of the time, and lets
strace in before it begins.
Without the action plugin: arguments are what that hands over.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

_COLLECTIONS_PATH = Path(__file__).absolute().parents[6]
_PLUGINS = "ansible_collections.mailops.ses.plugins"
_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status, negative for a signal, and all that it has printed."""

    status: int
    output: str

    @property
    def result(self) -> dict[str, t.Any]:
        """What the module says. Raises ValueError if it has not said anything."""
        lines = [line for line in self.output.splitlines() if line.startswith("{")]
        if len(lines) != 1:
            raise ValueError(f"exit status {self.status}, no result in {self.output!r}")
        result: dict[str, t.Any] = json.loads(lines[0])
        return result


def payload(arguments: t.Mapping[str, t.Any]) -> str:
    """``arguments`` as the module's standard input; check mode is ``_ansible_check_mode``."""
    return json.dumps({"ANSIBLE_MODULE_ARGS": dict(arguments)})


def module_command(module: str, mode: str = "run") -> list[str]:
    """A command that runs ``module`` with a payload as its standard input."""
    return [sys.executable, str(Path(__file__).absolute()), mode, module]


def module_environment(more: t.Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for such a command."""
    path = [str(_COLLECTIONS_PATH), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "LC_ALL": "C.UTF-8", **(more or {})}


def run_module(
    module: str,
    arguments: t.Mapping[str, t.Any],
    *,
    prefix: t.Sequence[str] = (),
    environment: t.Mapping[str, str] | None = None,
    umask: int = 0o022,
) -> Outcome:
    """Run ``module`` in a process of its own and wait for it; ``prefix`` is put before it."""
    done = subprocess.run(
        [*prefix, *module_command(module)],
        input=payload(arguments),
        env=module_environment(environment),
        umask=umask,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    return Outcome(done.returncode, done.stdout)


class ModuleServer:
    """Runs a module again and again, one run at a time; a context manager.

    ``prefix`` is put before the command that starts it, for a hosts file of its own.
    """

    def __init__(self, module: str, prefix: t.Sequence[str] = ()) -> None:
        self._module = module
        self._prefix = list(prefix)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ModuleServer:
        self._process = subprocess.Popen(
            [*self._prefix, *module_command(self._module, "serve")],
            env=module_environment(),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_TIMEOUT)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(
        self,
        arguments: t.Mapping[str, t.Any],
        *,
        environment: t.Mapping[str, str] | None = None,
        umask: int = 0o022,
        strace: t.Sequence[str] = (),
    ) -> Outcome:
        """Run the module, and wait until it and all that it has started are gone.

        With ``strace``, its options, that is attached before the module begins.
        """
        request = {
            "payload": payload(arguments),
            "environment": dict(environment or {}),
            "umask": umask,
        }
        pid = self._ask(request)["pid"]
        tracer = _attach(pid, strace) if strace else None
        ended = self._ask("go")
        if tracer is not None:
            tracer.wait(_TIMEOUT)
            assert tracer.stderr is not None
            tracer.stderr.close()
        return Outcome(ended["status"], ended["output"])

    def _ask(self, request: object) -> dict[str, t.Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that runs {self._module} has ended, see above")
        answer: dict[str, t.Any] = json.loads(line)
        return answer


def _attach(pid: int, options: t.Sequence[str]) -> subprocess.Popen[str]:
    strace = shutil.which("strace")
    if strace is None:
        raise RuntimeError("strace was not found")
    command = [strace, *options, "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    # It says so when the process is stopped already: nothing that follows escapes it.
    said = tracer.stderr.readline()
    if "attached" not in said:
        raise RuntimeError(f"strace: {said}{tracer.stderr.read()}")
    return tracer


# What follows runs in the process that is the managed host's Python.


def _load(module: str) -> t.Callable[[], None]:
    main: t.Callable[[], None] = importlib.import_module(f"{_PLUGINS}.modules.{module}").main
    return main


def _load_early() -> None:
    """Import all of the packages of which the module has something, and what makes a diff."""
    utils = _COLLECTIONS_PATH.joinpath(*_PLUGINS.split("."), "module_utils")
    for path in sorted(utils.rglob("*.py")):
        package = ".".join(path.parent.relative_to(_COLLECTIONS_PATH).parts)
        if package in sys.modules:
            importlib.import_module(f"{package}.{path.stem}")
    importlib.import_module("difflib")
    gc.freeze()


def _give(arguments: bytes) -> None:
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = arguments
    # From ansible-core 2.19 on, the way in which results are serialised.
    basic._ANSIBLE_PROFILE = "legacy"


def _serve(module: str) -> None:
    """Answer requests until standard input ends: {payload, ...}, {pid}, "go", {status, output}."""
    main = _load(module)
    _load_early()
    for line in sys.stdin:
        request = json.loads(line)
        held, release = os.pipe()
        with tempfile.TemporaryFile() as output:
            pid = os.fork()
            if pid == 0:
                os.close(release)
                _run_forked(main, request, held, output.fileno())
            os.close(held)
            _answer({"pid": pid})
            sys.stdin.readline()
            os.close(release)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            _end_group(pid)
            output.seek(0)
            _answer({"status": status, "output": output.read().decode(errors="replace")})


def _run_forked(
    main: t.Callable[[], None], request: dict[str, t.Any], held: int, output: int
) -> t.NoReturn:
    status = 70
    try:
        os.setpgid(0, 0)
        os.read(held, 1)
        os.close(held)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in enumerate([nothing, output, output]):
            os.dup2(source, target)
        os.environ.update(request["environment"])
        os.umask(request["umask"])
        _give(request["payload"].encode())
        main()
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    except BaseException as exc:  # it must not go on as the server
        sys.stdout.write(repr(exc))
    sys.stdout.flush()
    os._exit(status)


def _end_group(pid: int) -> None:
    """End what the module has left running. Its children may be orphans by now."""
    try:
        os.killpg(pid, 9)
    except ProcessLookupError:
        return


def _answer(answer: dict[str, t.Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Not beside this file, where modules have the names of others.
    sys.path.pop(0)
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        # Loaded first, so that several of these begin at once when their payloads come.
        main = _load(sys.argv[2])
        _give(sys.stdin.buffer.read())
        main()
