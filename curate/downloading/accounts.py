"""What became of every URL: downloaded, or failed for a reason, per shard and in total.

img2dataset keeps a row per URL in the sidecar of its shard, with the error as the server or a
library worded it. There are as many wordings as servers: they are put into a few reasons.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from curate.errors import AccountingError, OutputError
from curate.outputs import Store

SUCCESS: Final = "success"
FAILED_TO_RESIZE: Final = "failed_to_resize"

NOT_RECORDED: Final = "not_recorded"
"""img2dataset lost the row: most often a further column holds what json cannot."""

_HTTP: Final = re.compile(r"HTTP Error (\d{3})\b")

_WORDINGS: Final[tuple[tuple[str, str], ...]] = (
    (r"disallowed by X-Robots-Tag", "opted_out"),
    (r"hash mismatch", "wrong_hash"),
    (r"private address", "private_address"),
    (r"response larger than", "too_many_bytes"),
    (r"timed? ?out", "timeout"),
    (r"IncompleteRead", "incomplete"),
    (
        r"Name or service not known|Temporary failure in name resolution|nodename nor servname"
        r"|No address associated|getaddrinfo",
        "unknown_host",
    ),
    (r"\bSSL\b|certificate|TLS", "tls"),
    (
        r"unknown url type|no host given|control characters|Invalid URL|nonnumeric port"
        r"|NoneType|codec can't encode|label (empty|too long)|idna|Invalid IPv6",
        "invalid_url",
    ),
    (
        r"Connection|Remote end closed|unreachable|No route to host|Broken pipe|Errno"
        r"|urlopen error",
        "no_connection",
    ),
    (r"BadStatusLine|bad status|line too long|got more than|HTTP response", "bad_response"),
)
"""Patterns, the first that is found counts, and their reasons."""

_OF_PICTURES: Final[Mapping[str, str]] = {
    "image too small": "too_small",
    "image area too large": "too_large",
    "aspect ratio too large": "aspect_ratio",
}

_BOMB: Final = "CV_IO_MAX_IMAGE_PIXELS"
"""What OpenCV says of pictures beyond `limits.image_pixels`."""

_COMPILED: Final = tuple((re.compile(p, re.IGNORECASE), reason) for p, reason in _WORDINGS)

ACCOUNT_SCHEMA: Final = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("urls", pa.int64(), nullable=False),
    ]
)


def reason_of(status: str, message: str | None) -> str:
    """Why a URL failed, in one word.

    Args:
        status: of img2dataset, not `success`.
        message: as img2dataset keeps it; servers have a part in it.
    """
    told = message or ""
    if status == FAILED_TO_RESIZE:
        if _BOMB in told:
            return "too_large"
        return _OF_PICTURES.get(told, "not_an_image")
    if (found := _HTTP.match(told)) is not None:
        return f"http_{found[1]}"
    return next((reason for pattern, reason in _COMPILED if pattern.search(told)), "other")


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the URLs of one shard or of many.

    Attributes:
        listed: rows of the tables.
        downloaded: of them, in the shards.
        failed: reason -> the others.
    """

    listed: int = 0
    downloaded: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)

    def check(self, place: str) -> None:
        """Refuse accounts that do not balance. Raises AccountingError naming the place."""
        failed = sum(self.failed.values())
        if self.listed != self.downloaded + failed or min(self.failed.values(), default=0) < 0:
            raise AccountingError(
                f"{place}: {self.listed} URLs listed != {self.downloaded} downloaded + {failed}"
                " failed; delete the shard with its .parquet and _stats.json, and run again"
            )


@dataclass(frozen=True)
class Downloaded:
    """What a download left.

    Attributes:
        folder: of the shards.
        shards: finished ones.
        account: of all URLs.
        seconds: it took; 0 where nothing was left to do.
    """

    folder: str
    shards: int
    account: Account
    seconds: float = 0.0


def total(accounts: Iterable[Account]) -> Account:
    """The sum of accounts; reasons by their numbers, the largest first."""
    listed = downloaded = 0
    failed: Counter[str] = Counter()
    for account in accounts:
        listed += account.listed
        downloaded += account.downloaded
        failed.update(account.failed)
    ordered = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return Account(listed, downloaded, dict(ordered))


def read_account(store: Store, shard: str, rows: int) -> Account:
    """Count what img2dataset says of a finished shard, and check it.

    Args:
        store: the folder of the shards.
        shard: its name.
        rows: of the tables, that became the shard.

    Raises:
        AccountingError: it says something else about the number of URLs.
        FileNotFoundError, OutputError: a file is missing or damaged.
    """
    stats = read_stats(store, shard)
    table = store.read_table(f"{shard}.parquet", ["status", "error_message"])
    outcomes = Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))
    downloaded = sum(n for (status, _), n in outcomes.items() if status == SUCCESS)
    failed: Counter[str] = Counter()
    for (status, message), number in outcomes.items():
        if status != SUCCESS:
            failed[reason_of(str(status), message)] += number
    place = f"{store.path(shard)}.tar"
    if stats["count"] != rows:
        raise AccountingError(
            f"{place}: img2dataset read {stats['count']} URLs of the {rows} that the tables hold;"
            " delete the shard with its .parquet and _stats.json, and run again"
        )
    if lost := rows - table.num_rows:
        failed[NOT_RECORDED] += lost
    account = Account(rows, downloaded, dict(sorted(failed.items())))
    account.check(place)
    return account


def read_stats(store: Store, shard: str) -> dict[str, Any]:
    """What img2dataset writes last of a shard.

    Raises:
        FileNotFoundError: the shard is not finished.
        OutputError: it was stopped while it wrote this.
    """
    found = store.read_json(f"{shard}_stats.json")
    if not isinstance(found, dict) or not isinstance(found.get("count"), int):
        raise OutputError(f"{store.path(shard)}_stats.json holds no counts; delete it")
    return found


def to_table(accounts: Mapping[str, Account]) -> pa.Table:
    """Accounts by shard as rows: shard, outcome (`downloaded`, or `failed: REASON`), URLs."""
    rows = [
        {"shard": shard, "outcome": outcome, "urls": number}
        for shard, account in accounts.items()
        for outcome, number in _outcomes(account)
    ]
    return pa.Table.from_pylist(rows, ACCOUNT_SCHEMA)


def _outcomes(account: Account) -> Iterator[tuple[str, int]]:
    yield "downloaded", account.downloaded
    yield from ((f"failed: {reason}", number) for reason, number in account.failed.items())


def from_table(table: pa.Table) -> dict[str, Account]:
    """The accounts that `to_table` wrote."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for batch in table.to_batches():
        for shard, outcome, number in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            downloaded, failed = found.setdefault(shard, (0, {}))
            if outcome == "downloaded":
                found[shard] = downloaded + number, failed
            else:
                failed[outcome.removeprefix("failed: ")] = number
    return {
        shard: Account(downloaded + sum(failed.values()), downloaded, failed)
        for shard, (downloaded, failed) in found.items()
    }
