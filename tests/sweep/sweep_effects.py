"""Counts what a process does that others can see, and kills it right before the n-th of these effects.

An effect is a system call or one store into a mapped file of the run directory: queue, journal, page, work page, bell
word. Between two effects nothing changes but the process's own memory, so "killed before effect n, for every n" is
"killed at every instant". Stores are seen because the process is given its shared mappings read-only: each store is a
fault, for which the page is opened for that one instruction (a copy of many bytes is many stores: it is torn, too).
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

import sweep_ptrace as ptrace

OPTIONS = ptrace.OPTION_SYSGOOD | ptrace.OPTION_CLONE | ptrace.OPTION_EXITKILL
_MAP_SHARED, _PROT_READ, _PROT_WRITE = 1, 1, 2
_PAGE = 4096
_NAMES = {
    0: "read", 1: "write", 3: "close", 5: "fstat", 8: "lseek", 9: "mmap", 10: "mprotect", 11: "munmap", 12: "brk",
    13: "rt_sigaction", 16: "ioctl", 17: "pread", 18: "pwrite", 32: "dup", 33: "dup2", 39: "getpid", 44: "sendto",
    46: "sendmsg", 47: "recvmsg", 56: "clone", 60: "exit", 61: "wait4", 72: "fcntl", 74: "fsync", 75: "fdatasync",
    77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir", 87: "unlink", 157: "prctl", 202: "futex", 217: "getdents",
    231: "exit_group", 232: "epoll_wait", 233: "epoll_ctl", 257: "openat", 262: "newfstatat", 263: "unlinkat",
    264: "renameat", 273: "set_robust_list", 285: "fallocate", 291: "epoll_create1", 318: "getrandom",
    424: "pidfd_send_signal", 434: "pidfd_open",
}


@dataclass
class Victim:
    """A process under watch, from a stop that it is in."""

    pid: int
    root: str
    """Mappings of files below count."""
    kill_at: int
    """It dies before its effect of this number, counted from 1; 0: never."""
    armed_by: str = ""
    """Effects count from the first system call of this name; empty: from now on."""
    effects: int = 0
    stores: int = 0
    killed_before: str = ""
    """What it was about to do."""
    _mapping: dict[int, tuple[int, str]] = field(default_factory=dict)
    _mapped: dict[int, tuple[int, str]] = field(default_factory=dict)
    _syscall: int = 0
    """Where a `syscall` instruction stands."""

    def on_stop(self, tid: int, number: int, event: int) -> None:
        """One of its threads has stopped by this signal. Raises `ProcessLookupError` when it is gone meanwhile."""
        if number == ptrace.SYSCALL_STOP:
            self._on_syscall(tid)
            number = 0
        elif number == signal.SIGSEGV and not event and (place := self._shared(ptrace.fault_address(tid))):
            self._on_store(tid, ptrace.fault_address(tid), place)
            number = 0
        elif event:
            number = 0
        if not self.killed_before:
            ptrace.go_on_to_syscall(tid, number)

    def _effect(self, what: str) -> None:
        if self.killed_before or self.armed_by:
            return
        self.effects += 1
        if self.effects == self.kill_at:
            self.killed_before = what
            os.kill(self.pid, signal.SIGKILL)

    def _on_syscall(self, tid: int) -> None:
        info = ptrace.syscall_info(tid)
        if info.op == ptrace.EXIT:
            length, name = self._mapping.pop(tid, (0, ""))
            if length and info.number > 0:
                self._mapped[info.number] = (length, name)
            return
        self._syscall = info.instruction - 2
        name = _NAMES.get(info.number, f"system call {info.number}")
        if name == self.armed_by:
            self.armed_by = ""
        self._effect(name)
        if self.killed_before:
            return
        if info.number == ptrace.MMAP:
            self._map_read_only(tid, info)
        elif info.number == ptrace.MUNMAP:
            self._mapped.pop(info.arguments[0], None)

    def _map_read_only(self, tid: int, info: ptrace.SyscallInfo) -> None:
        _, length, protection, flags, fd = info.arguments[:5]
        if not flags & _MAP_SHARED or not protection & _PROT_WRITE or fd > 1 << 30:
            return
        name = os.readlink(f"/proc/{self.pid}/fd/{fd}")
        if name.startswith(self.root):
            values = ptrace.registers(tid)
            values.rdx = _PROT_READ
            ptrace.set_registers(tid, values)
            self._mapping[tid] = (length, name[len(self.root) :])

    def _shared(self, address: int) -> str:
        for begin, (length, name) in self._mapped.items():
            if begin <= address < begin + length:
                return f"{name} + {address - begin}"
        return ""

    def _on_store(self, tid: int, address: int, place: str) -> None:
        self.stores += 1
        self._effect(f"store to {place}")
        if self.killed_before:
            return
        page = address & -_PAGE
        begin, (length, _) = next(
            (begin, found) for begin, found in self._mapped.items() if begin <= address < begin + found[0]
        )
        pages = _PAGE if page + _PAGE >= begin + length else 2 * _PAGE  # a store may lie across two
        values = ptrace.registers(tid)
        self._protect(tid, values, page, pages, _PROT_READ | _PROT_WRITE)
        ptrace.set_registers(tid, values)
        self._step(tid)
        values = ptrace.registers(tid)
        self._protect(tid, values, page, pages, _PROT_READ)
        ptrace.set_registers(tid, values)

    def _protect(self, tid: int, values: ptrace.Registers, page: int, length: int, protection: int) -> None:
        """Let the process itself call mprotect."""
        call = ptrace.Registers.from_buffer_copy(values)
        call.rip, call.rax, call.orig_rax = self._syscall, ptrace.MPROTECT, (1 << 64) - 1
        call.rdi, call.rsi, call.rdx = page, length, protection
        ptrace.set_registers(tid, call)
        self._step(tid)
        if ptrace.registers(tid).rax:
            raise RuntimeError(f"mprotect({page:#x}, {length}, {protection}) failed in {self.pid}")

    def _step(self, tid: int) -> None:
        ptrace.step(tid)
        _, status = os.waitpid(tid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError(f"{tid} died while it was watched")
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            raise RuntimeError(f"signal {os.WSTOPSIG(status)} came to {tid} within one instruction")
