"""Pages of S3's listings: read as botocore reads them."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.s3_pages import page_of, quickened

parsers = pytest.importorskip("aiobotocore.parsers", reason="needs the extra s3")

KEYS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cn"]), min_size=1)
FIELDS = ("Key", "Size", "ETag")


def listing_shape() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model("s3", "service-2"))
    return model.operation_model("ListObjectsV2").output_shape


SHAPE = listing_shape()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(KEYS, st.integers(0, 2**50)), max_size=5),
    st.lists(KEYS, max_size=3),
    st.booleans(),
    st.sampled_from(["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"']),
)
def test_a_page_is_what_botocore_makes_of_it(
    entries: list[tuple[str, int]], folders: list[str], more: bool, namespace: str
) -> None:
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{size:x}&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
        f"<Size>{size}</Size><Owner><ID>x</ID></Owner></Contents>"
        for key, size in entries
    )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}/</Prefix></CommonPrefixes>" for name in folders
    )
    token = "<NextContinuationToken>a&amp;b</NextContinuationToken>" if more else ""
    body = (
        f"<ListBucketResult{namespace}><Name>b</Name><Prefix></Prefix>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{token}{contents}{prefixes}</ListBucketResult>"
    ).encode()
    parser = parsers.AioRestXMLParser()
    theirs = parser._do_parse({"body": body, "headers": {}, "status_code": 200}, SHAPE)
    ours = page_of(parser._parse_xml_string_to_dom(body))
    for name in ("IsTruncated", "EncodingType", "Prefix", "Name"):
        assert ours[name] == theirs[name]
    assert ours.get("NextContinuationToken") == theirs.get("NextContinuationToken")
    assert picked(ours) == picked(theirs)
    assert ours["CommonPrefixes"] == theirs.get("CommonPrefixes", [])


def picked(page: dict[str, Any]) -> list[list[Any]]:
    return [[entry[name] for name in FIELDS] for entry in page.get("Contents", [])]


def test_only_s3_is_listed_by_another_driver() -> None:
    s3fs = pytest.importorskip("s3fs", reason="needs the extra s3")
    memory = MemoryFileSystem()
    assert quickened(memory) is memory
    given_one = s3fs.S3FileSystem(anon=True, endpoint_url="http://127.0.0.1:1")
    made = quickened(given_one)
    assert made is not given_one
    assert made.storage_options.items() >= given_one.storage_options.items()
    assert quickened(given_one) is made
    assert quickened(made) is made
