"""Anonymous shared memory: a memfd that children inherit, reserved in full so that touching it never fails."""

import errno
import mmap
import os


class SharedMemoryExhausted(OSError):
    """The machine has too little memory for a queue: lower its size or free memory."""


def create_memory_file(name: str, size: int) -> int:
    """A memfd of `size` bytes, all of them reserved. `name` shows in /proc only. Raises SharedMemoryExhausted."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    if size:
        try:
            reserve(fd, 0, size)
        except SharedMemoryExhausted:
            os.close(fd)
            raise
    return fd


def reserve(fd: int, offset: int, size: int) -> None:
    """Back [offset, offset + size) with memory now: a later touch of a hole on a full machine would be SIGBUS."""
    try:
        os.posix_fallocate(fd, offset, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.ENOMEM):
            raise SharedMemoryExhausted(error.errno, f"no room for {size} bytes of shared memory") from error
        raise


def map_memory_file(fd: int, *, populate: bool = True) -> mmap.mmap:
    """Map the whole file, shared. populate: fault the pages in now and not in the first round of the queue."""
    flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if populate else 0)
    return mmap.mmap(fd, os.fstat(fd).st_size, flags=flags)
