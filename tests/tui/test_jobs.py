"""Runs that are started here, as real processes."""

import os
import time
from pathlib import Path

from surrogateshap_tui.jobs import ChildJob


def ended(job: ChildJob) -> None:
    for _ in range(600):
        if not job.running():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_a_process_that_fails_says_why_and_what_to_do(tmp_path: Path) -> None:
    job = ChildJob(["apply", "--yes", "--", str(tmp_path / "nothing.toml")])
    assert os.getsid(job._process.pid) == job._process.pid
    ended(job)
    failure = job.failure()
    assert "nothing.toml" in failure.message
    assert failure.remedy


def test_a_process_that_does_what_it_should_has_no_failure() -> None:
    job = ChildJob(["--version"])
    ended(job)
    assert job.failure() is None
