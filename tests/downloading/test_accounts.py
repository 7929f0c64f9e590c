"""Reasons and accounts of URLs: every row of a table is downloaded or failed for one reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.downloading.accounts import (
    ACCOUNT_SCHEMA,
    Account,
    from_table,
    read_account,
    reason_of,
    to_table,
    total,
)
from curate.errors import AccountingError, OutputError
from curate.outputs import Store

FAILED, UNUSABLE = "failed_to_download", "failed_to_resize"


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (FAILED, "HTTP Error 404: Not Found", "http_404"),
        (FAILED, "HTTP Error 503: timed out", "http_503"),
        (FAILED, "timed out", "timeout"),
        (FAILED, "<urlopen error timed out>", "timeout"),
        (FAILED, "<urlopen error [Errno 110] Connection timed out>", "timeout"),
        (FAILED, "<urlopen error _ssl.c:990: The handshake operation timed out>", "timeout"),
        (FAILED, "The read operation timed out", "timeout"),
        (FAILED, "<urlopen error [Errno -2] Name or service not known>", "unknown_host"),
        (FAILED, "<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate has", "tls"),
        (FAILED, "<urlopen error [Errno 111] Connection refused>", "no_connection"),
        (FAILED, "Remote end closed connection without response", "no_connection"),
        (FAILED, "<urlopen error private address>", "private_address"),
        (FAILED, "IncompleteRead(0 bytes read, 100 more expected)", "incomplete"),
        (FAILED, "<urlopen error unknown url type: file>", "invalid_url"),
        (FAILED, "URL can't contain control characters. '/a b'", "invalid_url"),
        (FAILED, "<urlopen error no host given>", "invalid_url"),
        (FAILED, "Use of image disallowed by X-Robots-Tag directive", "opted_out"),
        (FAILED, "hash mismatch", "wrong_hash"),
        (FAILED, "response larger than 9 bytes", "too_many_bytes"),
        (FAILED, "got more than 100 headers", "bad_response"),
        (FAILED, "a word of its own", "other"),
        (FAILED, None, "other"),
        (UNUSABLE, "Image decoding error", "not_an_image"),
        (UNUSABLE, "OpenCV(4.14.0) error: (-215:Assertion failed) !buf.empty()", "not_an_image"),
        (UNUSABLE, "image too small", "too_small"),
        (UNUSABLE, "image area too large", "too_large"),
        (UNUSABLE, "error: (-215) pixels <= CV_IO_MAX_IMAGE_PIXELS in function", "too_large"),
    ],
)
def test_wordings_become_reasons(status: str, message: str | None, reason: str) -> None:
    assert reason_of(status, message) == reason


@given(st.sampled_from([FAILED, UNUSABLE, "odd"]), st.text())
def test_any_wording_has_a_reason_of_few(status: str, message: str) -> None:
    assert reason_of(status, message).replace("_", "").isalnum()


def write_shard(folder: Path, rows: list[tuple[str, str | None]], **stats: Any) -> Store:
    table = {"status": [row[0] for row in rows], "error_message": [row[1] for row in rows]}
    schema = pa.schema([("status", pa.string()), ("error_message", pa.string())])
    pq.write_table(pa.table(table, schema=schema), folder / "00000.parquet")
    told = {"count": len(rows), "successes": 0, **stats}
    (folder / "00000_stats.json").write_text(json.dumps(told))
    return Store(str(folder))


ROWS = [("success", None)] * 3 + [(FAILED, "HTTP Error 404: Gone")] * 2 + [(UNUSABLE, "x")]


def test_a_shard_is_counted(tmp_path: Path) -> None:
    store = write_shard(tmp_path, ROWS)
    assert read_account(store, "00000", 6) == Account(6, 3, {"http_404": 2, "not_an_image": 1})


def test_rows_that_img2dataset_lost_are_counted_too(tmp_path: Path) -> None:
    store = write_shard(tmp_path, ROWS, count=8)
    account = read_account(store, "00000", 8)
    assert account.failed["not_recorded"] == 2
    assert account.listed == 8


def test_accounts_that_do_not_balance_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AccountingError, match=r"00000\.tar: img2dataset read 6 URLs of the 7"):
        read_account(write_shard(tmp_path, ROWS), "00000", 7)
    with pytest.raises(AccountingError, match="5 URLs listed != 3 downloaded"):
        read_account(write_shard(tmp_path, ROWS, count=5), "00000", 5)
    with pytest.raises(OutputError, match="holds no counts"):
        read_account(write_shard(tmp_path, ROWS, count=None), "00000", 6)


accounts = st.builds(
    lambda downloaded, failed: Account(downloaded + sum(failed.values()), downloaded, failed),
    st.integers(0, 50),
    st.dictionaries(st.sampled_from(["http_404", "timeout", "other"]), st.integers(1, 50)),
)


@given(st.dictionaries(st.sampled_from(["00000", "00001", "00002"]), accounts))
def test_accounts_come_back_and_add_up(found: dict[str, Account]) -> None:
    assert from_table(to_table(found)) == found
    assert to_table(found).schema == ACCOUNT_SCHEMA
    summed = total(found.values())
    summed.check("total")
    assert summed.listed == sum(account.listed for account in found.values())
