"""Run pytest inside the jail and report every test as it ends.

This file is sent there as text. It is the program of `python -c` under the interpreter of the user's project.
So it imports no other module of UCoder and uses old syntax only. Each report is one line of JSON on the real
standard output, written with one system call, so that an `os._exit` loses no earlier report. Every line
starts with a word that is random for each run, so that output of the tests cannot be mistaken for a report.

Not covered: the code under test runs in this very process and can change anything here. The word and the
canaries catch fakes that were not written against this gate. A fake written against it can forge every line.
That is why no verdict rests on these reports alone: behaviour is compared outside this process.

Arguments: the word, the canary file, the seed of the canaries' places, then pytest's own arguments.
"""

import json
import os
import sys

word, canary_file, seed = sys.argv[1:4]
pytest_arguments = sys.argv[4:]
del sys.argv[1:]

# The first entry is the working directory. pytest must come from the interpreter, never from the patch.
here = os.getcwd()
sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]

import pathlib  # noqa: E402
import random  # noqa: E402

import pytest  # noqa: E402

sys.path[:0] = [here] + ([os.path.join(here, "src")] if os.path.isdir(os.path.join(here, "src")) else [])

channel = os.dup(1)
os.set_inheritable(channel, False)


def send(**record: object) -> None:
    """Write one report with one call.

    The newline before it ends a line that a test left unfinished.
    """
    os.write(channel, ("\n" + word + " " + json.dumps(record) + "\n").encode("ascii"))


class Reporter:
    """Places the canaries among the tests and reports every result."""

    def pytest_collection_modifyitems(self, session: pytest.Session, items: list) -> None:  # type: ignore[type-arg]
        """Put canaries first, last and between files.

        So a canary follows a fake that any test sets up.
        """
        planted = pathlib.Path(here, canary_file)
        canaries = list(session.genitems(pytest.Module.from_parent(session, path=planted)))
        # Where the project's tests lie beside the file, pytest has collected it as well.
        items[:] = [item for item in items if item.path != planted]
        between = [at for at in range(1, len(items)) if items[at].path != items[at - 1].path]
        choice = random.Random(seed)  # noqa: S311  # the places vary; they need not be secret
        places = [0, len(items)] + [choice.choice([0, *between]) for _ in canaries[2:]]
        merged = []
        for at in range(len(items) + 1):
            merged += [canary for canary, place in zip(canaries, places) if place == at]  # noqa: B905  # 3.9
            merged += items[at : at + 1]
        items[:] = merged

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            send(kind="collected", id=item.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            send(kind="collect-error", id=report.nodeid, text=str(report.longrepr)[-1500:])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        send(
            kind="report",
            id=report.nodeid,
            when=report.when,
            outcome=report.outcome,
            xfail=hasattr(report, "wasxfail"),
            text="" if report.passed else str(report.longrepr)[-1500:],
        )


send(kind="started", pytest=pytest.__version__, python=sys.version.split()[0])
status = int(pytest.main([*pytest_arguments, "-p", "no:cacheprovider"], plugins=[Reporter()]))
send(kind="finished", status=status)
sys.exit(status)
