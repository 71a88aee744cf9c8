"""Ranks that are bound to cpus, on this machine."""

from __future__ import annotations

import pytest

import aelastic

pytestmark = pytest.mark.asyncio

EXCLUSIVE = aelastic.NumaOptions(aelastic.AffinityMode.EXCLUSIVE, should_fall_back_if_binding_fails=True)
NODE = aelastic.NumaOptions(aelastic.AffinityMode.NODE, should_fall_back_if_binding_fails=True)
