"""A shard's bytes to samples, or to typed rejections: one row for every key, in shard order.

The layout is webdataset's: adjacent members that share a key are one sample; the key is the member
name up to the first dot of its base name. Members are told apart by extension alone (`.txt`,
`.json`, and .jpg, .jpeg, .png or .webp, in any case); everything else a sample may hold is passed
over: not decoded, not unpickled, not extracted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from curate.byte_source import ByteStream
from curate.config import Config
from curate.errors import SampleError, ShardError
from curate.members import KEY_LIMIT, derive_uid, own_uid, parse_caption, parse_metadata, split_name
from curate.shards import Shard
from curate.tar import MEMBER_LIMIT, Member, TarReader
from curate.tar_report import TarReport

IMAGE_EXTENSIONS: Final = frozenset({"jpg", "jpeg", "png", "webp"})
TEXT_EXTENSION: Final = "txt"
JSON_EXTENSION: Final = "json"
_USED_EXTENSIONS: Final = IMAGE_EXTENSIONS | {TEXT_EXTENSION, JSON_EXTENSION}

NON_REGULAR: Final = "non_regular_members"
OTHER_MEMBERS: Final = "other_members"
MISSING_JSON: Final = "missing_json"
DERIVED_UID: Final = "derived_uid"

_SHOWN: Final = 300
"""Characters of names in the detail of a rejection."""


@dataclass(frozen=True, slots=True)
class SamplePolicy:
    """What a sample may be.

    Attributes:
        image_pixels: of an image, by its header; checked by `images.decode`.
        caption_bytes: of a caption.
        member_bytes: of any member; larger ones are skipped without being held.
        json_bytes: of a .json member; parsing takes ten times as much memory.
        verify_sha256: compare the image with the json's `sha256`. img2dataset hashes the original
            download, so this holds only where images were not re-encoded.
    """

    image_pixels: int = 50_000_000
    caption_bytes: int = 65_536
    member_bytes: int = MEMBER_LIMIT
    json_bytes: int = 1_048_576
    verify_sha256: bool = False


def policy_of(config: Config) -> SamplePolicy:
    """The limits that a run's samples are read with."""
    return SamplePolicy(
        image_pixels=config.limits.image_pixels,
        caption_bytes=config.limits.caption_bytes,
        member_bytes=config.limits.member_bytes,
        verify_sha256=config.input.verify_sha256,
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """An image, its caption and its metadata, undecoded.

    Attributes:
        index: position in the shard, samples and rejections counted alike.
        key: webdataset key, directories included.
        uid: 32 lowercase hex digits.
        uid_derived: the json gave none, so it is a hash of shard id and key.
        image: encoded bytes.
        caption: control characters replaced by spaces, otherwise as it is.
        metadata: the parsed json; empty if there is none.
        tar_offset: byte of the sample's first header in the shard.
        tar_size: bytes of its members, headers and padding included.
    """

    index: int
    key: str
    uid: str
    uid_derived: bool
    image: bytes
    caption: str
    metadata: dict[str, Any]
    tar_offset: int
    tar_size: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """A sample that cannot be used: `status` is one of `schema.REJECTIONS`, `detail` the finding.

    The other attributes are those of `Sample`.
    """

    index: int
    key: str
    uid: str
    uid_derived: bool
    status: str
    detail: str
    tar_offset: int
    tar_size: int


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What a shard held: complete once the reader is exhausted.

    Attributes:
        tar: size, checksum and damage of the archive.
        read: keys found; samples plus rejections.
        rejected: rejections by status.
        notes: losses of nothing: non-regular and other members, missing jsons, derived uids.
    """

    tar: TarReport
    read: int
    rejected: dict[str, int]
    notes: dict[str, int]


class _Group:
    """The adjacent members of one key, as far as they are needed."""

    __slots__ = (
        "beside_loss", "end", "extensions", "first", "image", "json", "key", "offset", "repeated",
        "text", "torn",
    )  # fmt: skip

    def __init__(self, key: str, extension: str, offset: int, *, beside_loss: bool) -> None:
        self.key = key
        self.first = extension
        self.offset = self.end = offset
        self.extensions: set[str] = set()
        self.image: Member | None = None
        self.text: Member | None = None
        self.json: Member | None = None
        self.repeated = ""  # what occurs twice, if anything does
        self.torn = False  # damage between its members
        self.beside_loss = beside_loss  # damage right before or behind it

    def add(self, extension: str, member: Member) -> None:
        """Take a member in; of kinds that are not used, and of second ones, only the name."""
        self.end = member.end
        if extension in self.extensions:
            self.repeated = self.repeated or f".{extension}"
        elif extension in IMAGE_EXTENSIONS:
            if self.image is not None:
                self.repeated = self.repeated or f"images, .{self.first} and .{extension}"
            else:
                self.image = member
        elif extension == TEXT_EXTENSION:
            self.text = member
        elif extension == JSON_EXTENSION:
            self.json = member
        self.extensions.add(extension)

    @property
    def is_whole(self) -> bool:
        return None not in (self.image, self.text, self.json)


class ShardReader:
    """Iterate over a shard, once: every key becomes a `Sample` or a `Rejection`, in order.

    Holds one sample in memory at a time, and 32 bytes per key.

    Args:
        stream: the shard's bytes, from the beginning.
        shard: its id goes into derived uids, its url into errors, its size is checked if known.
        policy: the limits.

    Raises:
        ShardError: while iterating: the shard is no tar, cannot be read, or ends before its size.
    """

    def __init__(self, stream: ByteStream, shard: Shard, policy: SamplePolicy) -> None:
        self._tar = TarReader(stream, policy.member_bytes)
        self._shard = shard
        self._policy = policy
        self._index = 0
        self._seen: set[str] = set()
        self._rejected: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    @property
    def report(self) -> ShardReport:
        """The report on the whole shard.

        Raises:
            RuntimeError: the iteration has not come to its end.
        """
        return ShardReport(self._tar.report, self._index, dict(self._rejected), dict(self._notes))

    def __iter__(self) -> Iterator[Sample | Rejection]:
        try:
            for group in self._groups():
                yield self._finish(group)
        except ShardError as exc:
            raise ShardError(f"{self._shard.url}: {exc}") from exc
        size, expected = self._tar.report.size, self._shard.size
        if expected is not None and size != expected:
            raise ShardError(
                f"{self._shard.url}: {size} bytes read of {expected}; the file changed or the "
                "connection broke: run again"
            )

    def _groups(self) -> Iterator[_Group]:
        group: _Group | None = None
        losses = 0
        for member in self._tar:
            loss, losses = self._tar.losses != losses, self._tar.losses
            if member.kind != "regular":
                self._notes[NON_REGULAR] += 1
                if group is not None:
                    group.beside_loss |= loss
                    yield group
                    group = None
                continue
            key, extension = split_name(member.name)
            if group is not None:
                group.beside_loss |= loss
                same = key == group.key and extension != group.first
                if same and (loss or member.offset == group.end):
                    group.torn |= loss
                else:
                    yield group
                    group = None
            if group is None:
                group = _Group(key, extension, member.offset, beside_loss=loss)
            group.add(extension, member)
        if group is not None:
            group.beside_loss |= self._tar.losses != losses
            yield group

    def _finish(self, group: _Group) -> Sample | Rejection:
        index, self._index = self._index, self._index + 1
        derived = derive_uid(self._shard.id, group.key)
        duplicate = derived in self._seen
        self._seen.add(derived)
        self._notes[OTHER_MEMBERS] += len(group.extensions - _USED_EXTENSIONS)
        self._notes[MISSING_JSON] += group.json is None
        size = group.end - group.offset
        metadata: dict[str, Any] = {}
        problem: SampleError | None = None
        try:
            metadata = self._metadata(group.json)
        except SampleError as exc:
            problem = exc
        own = own_uid(metadata)
        is_derived = own is None
        uid = derived if own is None else own
        self._notes[DERIVED_UID] += is_derived
        try:
            image, text = self._parts(group, duplicate=duplicate)
            if problem is not None:
                raise problem
            caption = parse_caption(text, self._policy.caption_bytes)
            self._verify(image, metadata)
        except SampleError as exc:
            self._rejected[exc.status] += 1
            key = group.key[:KEY_LIMIT]
            return Rejection(
                index, key, uid, is_derived, exc.status, exc.detail, group.offset, size
            )
        return Sample(
            index, group.key, uid, is_derived, image, caption, metadata, group.offset, size
        )

    def _metadata(self, member: Member | None) -> dict[str, Any]:
        if member is None:
            return {}
        if member.data is None or member.size > self._policy.json_bytes:
            limit = self._policy.json_bytes
            raise SampleError("invalid_json", f"{member.size} bytes; the limit is {limit}")
        return parse_metadata(member.data)

    def _parts(self, group: _Group, *, duplicate: bool) -> tuple[bytes, bytes]:
        """Image and caption bytes of a sample that is whole and the first of its key."""
        found = ", ".join(sorted(group.extensions)[:10])[:_SHOWN]
        if len(group.key) > KEY_LIMIT:
            raise SampleError("invalid_key", f"{len(group.key)} characters; at most {KEY_LIMIT}")
        if group.key.rpartition("/")[2] == "" or group.extensions == {""}:
            raise SampleError("invalid_key", f"a name without stem or extension ({found})")
        if group.torn or (group.beside_loss and not group.is_whole):
            raise SampleError("damaged_tar", f"the tar is damaged here; left of it: {found}")
        if duplicate:
            raise SampleError("duplicate_key", f"this key occurred before; it now brings: {found}")
        if group.repeated:
            raise SampleError("duplicate_member", f"twice: {group.repeated[:_SHOWN]}")
        if group.image is None:
            raise SampleError("missing_image", f"members found: {found}")
        if group.text is None:
            raise SampleError("missing_text", f"members found: {found}")
        if group.text.data is None:
            limit = self._policy.caption_bytes
            raise SampleError("caption_too_long", f"{group.text.size} bytes; the limit is {limit}")
        if group.image.data is None:
            limit = self._policy.member_bytes
            raise SampleError("member_too_large", f"{group.image.size} bytes; the limit is {limit}")
        return group.image.data, group.text.data

    def _verify(self, image: bytes, metadata: dict[str, Any]) -> None:
        expected = metadata.get("sha256")
        if not self._policy.verify_sha256 or expected is None:
            return
        found = hashlib.sha256(image).hexdigest()
        if str(expected).lower() != found:
            raise SampleError("checksum_mismatch", f"sha256 is {found}, not {str(expected)[:64]}")
