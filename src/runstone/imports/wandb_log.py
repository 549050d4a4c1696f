"""W&B's transaction log, `run-<id>.wandb`: the records in it that are whole, and how much of it is torn.

The frame is that of LevelDB's log, and is read here: newer wandb packages read it only in a program that talks to
W&B's servers. What a record holds, wandb's protocol buffers tell.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from runstone.errors import RunstoneError

_BLOCK = 32_768
_MAX_RECORD = 256 * 1024 * 1024
_IDENTITY = struct.Struct("<4sHB")
_HEAD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class Log:
    """One log.

    Attributes:
        path: The file.
        lost: Bytes that are torn or damaged, as far as it was read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0

    def records(self) -> Iterator[bytes]:
        """The records that are whole, in order; what comes after a damaged one is found again at the next block.

        Raises:
            RunstoneError: It is no such log, or of a version that is not known.

        Source: LevelDB, `doc/log_format.md`; W&B's checksum is zlib's CRC-32 of the type and the bytes.
        """
        with self.path.open("rb") as file:
            head = file.read(_IDENTITY.size)
            if len(head) < _IDENTITY.size:
                self.lost += len(head)
                return
            mark, magic, version = _IDENTITY.unpack(head)
            if (mark, magic) != (b":W&B", 0xBEE1):
                raise RunstoneError(f"{self.path} is no log of W&B: it does not begin as one.")
            if version != 0:
                raise RunstoneError(f"{self.path} is a log of W&B of version {version}, and only version 0 is known.")
            yield from self._pieces(file)

    def _pieces(self, file: BufferedReader) -> Iterator[bytes]:
        """Put records together from the pieces in which they lie in blocks."""
        whole: bytearray | None = None
        block = file.read(_BLOCK - _IDENTITY.size)
        while block:
            for kind, data in self._block(block):
                if kind == _FULL:
                    self._drop(whole)
                    whole = None
                    yield data
                elif kind == _FIRST:
                    self._drop(whole)
                    whole = bytearray(data)
                elif kind == 0 or whole is None or len(whole) + len(data) > _MAX_RECORD:
                    self._drop(whole)
                    self.lost += len(data)
                    whole = None
                else:
                    whole += data
                    if kind == _LAST:
                        yield bytes(whole)
                        whole = None
            block = file.read(_BLOCK)
        self._drop(whole)

    def _block(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """The pieces of one block; kind 0 is the rest of a block in which one is torn or damaged."""
        at = 0
        while at + _HEAD.size <= len(block):
            crc, length, kind = _HEAD.unpack_from(block, at)
            data = block[at + _HEAD.size : at + _HEAD.size + length]
            is_whole = len(data) == length and zlib.crc32(data, zlib.crc32(bytes([kind]))) == crc
            if not is_whole or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
                rest = block[at:]
                if rest.strip(b"\0"):  # zeros fill a block up
                    yield 0, rest
                return
            yield kind, data
            at += _HEAD.size + length
        if block[at:].strip(b"\0"):
            yield 0, block[at:]

    def _drop(self, piece: bytearray | None) -> None:
        self.lost += len(piece or b"")
