"""What must hold after every scenario."""

from __future__ import annotations

from tests.live.conftest import no_tasks_left as no_tasks_left
