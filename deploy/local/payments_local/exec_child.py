"""Become a child process that never outlives its parent, optionally as another user; then exec.

Runs as a script (`python -I -S exec_child.py ... -- COMMAND`) between fork and exec of the real
program, because `subprocess`'s `preexec_fn` may deadlock in a process with threads.

Only Linux supports all of it. On other systems the user changes, and children stop in order, but
they may outlive a parent that was killed with SIGKILL.
"""

import argparse
import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

EXIT_CANNOT_START = 126  # As in a shell: the command was found but cannot be executed.


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def become(uid: int, gid: int, *, enter_any_folder: bool) -> None:
    """Drop from root to uid and gid for good, keeping at most one capability.

    Raises OSError if the kernel refuses, for example in a container without CAP_SETUID.
    """
    if enter_any_folder:
        # Lets capabilities survive setuid, and count for access(2), with which PostgreSQL looks for
        # its own programs.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(gid)  # For root this sets real, effective and saved ids at once.
    os.setuid(uid)
    if enter_any_folder:
        _keep_only_dac_override()


def _keep_only_dac_override() -> None:
    """Make CAP_DAC_OVERRIDE ambient: only an ambient capability survives an exec."""
    header = _CapHeader(CAPABILITY_VERSION_3, 0)
    mask = 1 << CAP_DAC_OVERRIDE
    # Version 3 holds 64 bits in two records; the second one, bits 32 and up, stays empty.
    data = (_CapData * 2)(_CapData(mask, mask, mask), _CapData(0, 0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capset(CAP_DAC_OVERRIDE)")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def die_with_parent(parent_pid: int, signal_number: int) -> None:
    """Ask the kernel for a signal when the parent dies.

    Call it after any change of user, which clears the request.
    """
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:  # The parent died before the request took effect.
        os._exit(EXIT_CANNOT_START)


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def main() -> None:
    """Parse, become, exec; on failure print one line and exit with status 126."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--enter-any-folder", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        if options.uid is not None:
            become(options.uid, options.gid, enter_any_folder=options.enter_any_folder)
        die_with_parent(options.parent, options.death_signal)
        os.execvp(options.command[0], options.command)  # noqa: S606 - the point of this file.
    except OSError as error:
        sys.stderr.write(f"cannot start {options.command[0]}: {error}\n")
        sys.exit(EXIT_CANNOT_START)


if __name__ == "__main__":
    main()
