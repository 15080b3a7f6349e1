"""Commands and models as in the tests of jobs."""

from tests.jobs.conftest import server, start, vit

__all__ = ["server", "start", "vit"]
