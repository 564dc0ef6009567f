"""The system's own debugger interface, as far as the sweep needs it: ptrace(2) by ctypes, for x86-64.

Only calls and their structures; `sweep_effects` counts with them, `sweep_family` follows processes with them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from ctypes import c_int64, c_long, c_uint8, c_uint32, c_uint64, c_void_p

WALL = 0x4000_0000
"""For `waitpid`: threads and forked processes alike."""
SYSCALL_STOP = signal.SIGTRAP | 0x80

_SINGLESTEP, _GETREGS, _SETREGS, _DETACH, _SYSCALL, _CONT = 9, 12, 13, 17, 24, 7
_SETOPTIONS, _GETEVENTMSG, _GETSIGINFO, _SEIZE, _INTERRUPT = 0x4200, 0x4201, 0x4202, 0x4206, 0x4207
_LISTEN, _SYSCALL_INFO = 0x4208, 0x420E

OPTION_SYSGOOD, OPTION_FORK, OPTION_VFORK, OPTION_CLONE, OPTION_EXEC = 1, 2, 4, 8, 16
OPTION_EXITKILL = 0x0010_0000
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_STOP = 1, 2, 3, 4, 128

ENTRY, EXIT = 1, 2
MMAP, MPROTECT, MUNMAP = 9, 10, 11

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = c_long
_libc.ptrace.argtypes = [c_long, c_long, c_void_p, c_void_p]


class Registers(ctypes.Structure):
    """`struct user_regs_struct` of x86-64."""

    _fields_ = [
        (name, c_uint64)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
            "fs_base gs_base ds es fs gs"
        ).split()
    ]


class SyscallInfo(ctypes.Structure):
    """`struct ptrace_syscall_info`; at an exit, `number` is what the call gave."""

    _fields_ = [
        ("op", c_uint8), ("pad", c_uint8 * 3), ("arch", c_uint32), ("instruction", c_uint64), ("stack", c_uint64),
        ("number", c_int64), ("arguments", c_uint64 * 7),
    ]


def _ptrace(request: int, tid: int, address: object = 0, data: object = 0) -> None:
    if _libc.ptrace(request, tid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace({request}): {os.strerror(number)}")  # ESRCH is a ProcessLookupError


def seize(pid: int, options: int) -> None:
    """Trace a process, which keeps running."""
    _ptrace(_SEIZE, pid, 0, options)


def interrupt(pid: int) -> None:
    """Stop it soon, as an event."""
    _ptrace(_INTERRUPT, pid)


def set_options(tid: int, options: int) -> None:
    _ptrace(_SETOPTIONS, tid, 0, options)


def go_on(tid: int, number: int = 0) -> None:
    """Run, with this signal, to the next signal or event."""
    _ptrace(_CONT, tid, 0, number)


def go_on_to_syscall(tid: int, number: int = 0) -> None:
    """As `go_on`, and stop where a system call is entered or left, too."""
    _ptrace(_SYSCALL, tid, 0, number)


def stay_stopped(tid: int) -> None:
    """A job-control stop: it lasts until somebody says SIGCONT."""
    _ptrace(_LISTEN, tid)


def detach(tid: int) -> None:
    _ptrace(_DETACH, tid)


def step(tid: int) -> None:
    """One instruction."""
    _ptrace(_SINGLESTEP, tid)


def registers(tid: int) -> Registers:
    found = Registers()
    _ptrace(_GETREGS, tid, 0, ctypes.addressof(found))
    return found


def set_registers(tid: int, values: Registers) -> None:
    _ptrace(_SETREGS, tid, 0, ctypes.addressof(values))


def syscall_info(tid: int) -> SyscallInfo:
    found = SyscallInfo()
    _ptrace(_SYSCALL_INFO, tid, ctypes.sizeof(found), ctypes.addressof(found))
    return found


def event_message(tid: int) -> int:
    """The new process, behind an event that tells of one."""
    found = c_uint64()
    _ptrace(_GETEVENTMSG, tid, 0, ctypes.addressof(found))
    return int(found.value)


def fault_address(tid: int) -> int:
    """Where a store or load went wrong, behind a SIGSEGV."""
    found = (c_uint64 * 16)()
    _ptrace(_GETSIGINFO, tid, 0, ctypes.addressof(found))
    return int(found[2])


def why_not() -> str:
    """Why nothing can be traced here; empty where it can."""
    if platform.machine() != "x86_64":
        return f"the sweep knows the registers of x86_64 only, and this is {platform.machine()}"
    hear, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(say)
        os.read(hear, 1)  # until the parent has tried
        os._exit(0)
    os.close(hear)
    try:
        seize(pid, OPTION_EXITKILL)
    except OSError as exc:
        return f"this machine lets no process trace its own child ({exc}); a container may need --cap-add SYS_PTRACE"
    finally:
        os.close(say)
        while os.WIFSTOPPED(os.waitpid(pid, WALL)[1]):
            go_on(pid)
    return ""
