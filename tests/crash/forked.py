"""Attempts at a tenth of a second each: a process that has imported torch, NumPy, scikit-learn and kladml forks a child for each of them.

A child does what `python -m kladml.attempt RUN_DIR` does, in a process group of its own, and is really killed. The server speaks lines of
JSON over a socket. It has one thread, and has done no operation that could start others, so that a fork of it is as good as a new process.
It adopts what a killed attempt leaves behind, and answers when nothing of its group is left.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

HANG_S = 120
"""Ends a hang; far more than any attempt needs."""

_PR_SET_CHILD_SUBREAPER = 36
_IMPORTED = (
    *("numpy", "sklearn.datasets", "sklearn.linear_model", "sklearn.neural_network", "skops.io"),
    *("torch", "torch._dynamo", "torch.optim.swa_utils", "torch.utils.data", "torch.utils.serialization", "kladml.attempt"),
    *(
        f"kladml.integrations.{name}"
        for name in ("numpy", "sklearn", "torch", "torch_data", "torch_settings", "torch_state", "torch_workers")
    ),
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes:
        status: the exit code, negative for a signal.
        left: how many processes of its group were alive when it had ended by itself.
    """

    status: int
    left: int


class ForkServer:
    """The server, seen from the test's process."""

    def __init__(self, hang_s: float = HANG_S) -> None:
        """Start it.

        Args:
            hang_s: after so many seconds an attempt is ended, and the test fails.
        """
        self._hang_s = hang_s
        self._line, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", __file__, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env={**os.environ, **_ONE_THREAD, "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        theirs.close()
        self._lines = self._line.makefile("rw")

    def attempt(self, root: Path, config: Mapping[str, Any], module: str) -> Ended:
        """Run the next attempt of a run in `results/`, to its end, whatever that is.

        Args:
            root: the project's folder.
            config: the fields of the experiment's config.
            module: the module in `experiments/` that registers its class.
        """
        self._lines.write(json.dumps({"root": str(root), "config": config, "module": module}) + "\n")
        self._lines.flush()
        if not self._answers_within(self._hang_s):
            raise AssertionError(self._end_hang(root / "results" / str(config["name"])))
        answer = self._lines.readline()
        assert answer, "the server died; what it said stands above"
        return Ended(**json.loads(answer))

    def _answers_within(self, seconds: float) -> bool:
        """Whether an answer comes. It is written at once, so that its line can be read when its first byte is there."""
        return bool(select.select([self._line], [], [], seconds)[0])

    def _end_hang(self, directory: Path) -> str:
        """Have an attempt that hangs write its stacks, which ends it."""
        pid = json.loads((directory / "run.json").read_text())["attempts"][-1]["pid"]
        os.killpg(pid, signal.SIGABRT)
        if self._answers_within(10):
            self._lines.readline()
        return f"an attempt hung:\n{(directory / 'log.txt').read_text()}"

    def close(self) -> None:
        """End it."""
        self._lines.close()
        self._line.close()
        assert self._process.wait(self._hang_s) == 0, "the server failed, or found children at its end"


def serve(line: socket.socket) -> None:
    """Answer requests until the other side is closed.

    Args:
        line: where they come from.
    """
    for name in _IMPORTED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()  # so that a collection in a child does not touch, and thereby copy, all of the parent's memory
    assert len(os.listdir("/proc/self/task")) == 1, "a server with several threads must not fork"
    lines = line.makefile("rw")
    line.close()  # as soon as the file is
    while request := lines.readline():
        ended = _attempt(json.loads(request), lines)
        lines.write(json.dumps(ended) + "\n")
        lines.flush()
    with suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
        sys.exit("there are children left")


def _attempt(request: dict[str, Any], lines: TextIO) -> dict[str, int]:
    """One attempt, opened and closed as the supervisor does it."""
    from kladml import ledger, plan
    from kladml.config import ExperimentConfig
    from kladml.rundir import RunDirectory

    root, config = Path(request["root"]), ExperimentConfig(**request["config"])
    directory = RunDirectory(root / "results" / config.name)
    place = ledger.Place(root=root, experiments="experiments", module=f"experiments.{request['module']}", log_level="WARNING")
    with closing(ledger.claim(directory, lambda: plan.decide(config, directory))) as lock:
        ledger.open_attempt(directory, config, place)
        descriptor = os.dup(lock.descriptor)  # forked processes close the lock itself
        child = os.fork()
        if child == 0:
            lines.close()
            _become_attempt(directory, root, descriptor)
        os.close(descriptor)
        with suppress(OSError):  # it may have done so itself by now, or have ended
            os.setpgid(child, child)
        ledger.note_process(directory, child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        left = _end_group(child, killed=code == -signal.SIGKILL)
        finished = code == 0 and ledger.has_finished(directory)
        cause = f"its process was ended by {signal.Signals(-code).name}" if code < 0 else None
        ledger.close_attempt(directory, "FINISHED" if finished else "FAILED", exit_code=code, cause=cause)
    return {"status": code, "left": left}


def _become_attempt(directory: Any, root: Path, descriptor: int) -> None:
    """What the supervisor's `Popen` does, then what `python -m kladml.attempt` does; the process ends as any program does."""
    from kladml import attempt, surroundings

    os.setpgid(0, 0)
    null, log = os.open(os.devnull, os.O_RDONLY), os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ |= {**surroundings.variables(directory.read_run()["surroundings"]), attempt.LOCK: str(descriptor)}
    os.environ[attempt.PARENT] = str(os.getppid())
    sys.exit(attempt.main([str(directory.path)]))


def _end_group(group: int, *, killed: bool) -> int:
    """Reap all that an attempt left, which is ours to reap. Where the whole group was killed, it is waited for.

    Returns:
        How many processes were alive.
    """
    left = 0
    while True:
        try:
            if killed:
                os.waitpid(-group, 0)
            elif os.waitpid(-group, os.WNOHANG) == (0, 0):
                left += 1
                os.killpg(group, signal.SIGKILL)
                os.waitpid(-group, 0)
        except ChildProcessError:
            return left


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
