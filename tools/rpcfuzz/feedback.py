"""Which ways through the code a case takes: steps from line to line, of some modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class Feedback:
    """Collects the steps of everything that :meth:`watch` runs. parts: of the paths of modules
    whose code counts. A step is a line together with the one before it in the same function.
    """

    def __init__(self, *parts: str) -> None:
        self.steps: set[int] = set()
        self._parts = parts
        self._wanted: dict[str, bool] = {}

    def watch(self, function: Callable[[], object]) -> bool:
        """Run a function; gives whether it took a step that was new."""
        before = len(self.steps)
        previous = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            function()
        finally:
            sys.settrace(previous)
        return len(self.steps) > before

    def _on_call(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        wanted = self._wanted.get(name)
        if wanted is None:
            wanted = any(part in name.replace("\\", "/") for part in self._parts)
            self._wanted[name] = wanted
        if not wanted:
            return None
        add, code, last = self.steps.add, id(frame.f_code), frame.f_code.co_firstlineno

        def on_line(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "line":
                line = frame.f_lineno
                add(code ^ (last << 20) ^ line)
                last = line
            return on_line

        return on_line
