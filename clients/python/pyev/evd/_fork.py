"""A child of this process keeps no connection open: its sessions are the parent's."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Holder(Protocol):
    def _end_in_child(self) -> None:
        """Close what the child has of it, without a byte to the daemon."""


_holders: weakref.WeakSet[_Holder] = weakref.WeakSet()


def add(holder: _Holder) -> None:
    """Have it closed in each child that is forked off from now on."""
    _holders.add(holder)


def _close_all() -> None:
    for holder in list(_holders):
        holder._end_in_child()


os.register_at_fork(after_in_child=_close_all)
