"""`ps.checkpoint(...)`: where and how often, as users write it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import penstock as ps
import penstock.checkpoints.stores
from penstock.checkpoint_options import checkpoint
from penstock.store_address import StoreAddress, parse_store


@pytest.mark.parametrize(("text", "place"), [
    ("/var/lib/x", "/var/lib/x"),
    (Path("/var/lib/x"), "/var/lib/x"),
    ("/var/lib//x/../y/", "/var/lib/y"),
    ("file:///var/lib/x", "/var/lib/x"),
    ("FILE:///var/lib/x", "/var/lib/x"),
    ("file://localhost/var/lib/x", "/var/lib/x"),
    ("file:///var/lib/two%20words%23", "/var/lib/two words#"),
    ("/var/lib/two words#?", "/var/lib/two words#?"),
    ("/var/a:b", "/var/a:b"),
    (Path("/x:y/z"), "/x:y/z"),
])  # fmt: skip
def test_a_path_is_a_directory(text, place):
    assert parse_store(text) == StoreAddress("file", place)


def test_a_relative_path_is_one_from_where_it_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = parse_store("checkpoints")
    monkeypatch.chdir("/")
    assert found == StoreAddress("file", str(tmp_path.resolve() / "checkpoints"))
    assert parse_store("a:b") == StoreAddress("file", "/a:b")


def test_a_link_is_what_it_points_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert parse_store(tmp_path / "link" / "x").place == str(tmp_path.resolve() / "real" / "x")


def test_a_home_is_known():
    assert parse_store("~/x").place == str(Path.home().resolve() / "x")


@pytest.mark.parametrize(("text", "place"), [
    ("s3://bucket", "bucket"), ("s3://bucket/", "bucket"), ("s3://bucket/a/b/", "bucket/a/b"),
    ("S3://bucket//a//b", "bucket/a/b"), ("s3://bucket/two words", "bucket/two words"),
])
def test_a_bucket_and_a_prefix(text, place):
    assert parse_store(text) == StoreAddress("s3", place)


@pytest.mark.parametrize("text", ["/var/lib/two words#%20", "s3://bucket/a/b", "s3://bucket"])
def test_an_address_as_text_is_the_same_address(text):
    assert parse_store(str(parse_store(text))) == parse_store(text)


@pytest.mark.parametrize(("text", "said"), [
    ("", "is not a checkpoint store; write a path"),
    ("  ", "is not a checkpoint store; write a path"),
    ("a\0b", "is not a checkpoint store; write a path"),
    (None, "None is not a checkpoint store; write a path"),
    (b"/x", "is not a checkpoint store; write a path"),
    ("file://var/lib/x", 'write three slashes: "file:///var/lib/x"'),
    ("file:var/lib/x", 'write three slashes: "file:///var/lib/x"'),
    ("file:/var/lib/x", 'write three slashes: "file:///var/lib/x"'),
    ("s3:bucket/x", 'write "s3://bucket/prefix"'),
    ("s3:///x", 'write "s3://bucket/prefix"'),
    ("s3://bucket/x?region=eu", "AWS_REGION"),
    ("s3://user:secret@bucket/x", "AWS_REGION"),
    ("s3://bucket/../x", "AWS_REGION"),
    ("gs://bucket/x", "gs is not a kind of checkpoint store; write a path"),
    ("https://bucket/x", "https is not a kind of checkpoint store; write a path"),
])  # fmt: skip
def test_what_is_no_store_is_told_with_what_to_write(text, said):
    with pytest.raises(ValueError) as raised:
        checkpoint(text)
    assert said in str(raised.value)


def test_numbers_of_an_option():
    options = checkpoint("/x", every="500ms", keep=5, max_age=timedelta(minutes=1))
    assert (options.every_s, options.keep, options.max_age_s) == (0.5, 5, 60.0)
    assert checkpoint("/x").max_age_s is None


@pytest.mark.parametrize(("given", "said"), [
    ({"every": 0}, "every=0 leaves no time"),
    ({"every": "soon"}, "'soon' is not a duration"),
    ({"keep": 0}, "keep=0 is not a number of at least 1"),
    ({"keep": True}, "keep=True is not"),
    ({"keep": "3"}, "keep='3' is not"),
    ({"every": "1m", "max_age": "30s"}, "max_age='30s' is not longer than every='1m'"),
])
def test_a_wrong_number_is_told_with_what_to_write(given, said):
    with pytest.raises(ValueError, match="write one like") as raised:
        checkpoint("/x", **given)
    assert said in str(raised.value)


def test_the_function_is_one_after_the_room_of_stores_was_imported():
    assert penstock.checkpoints.stores is not None
    assert ps.checkpoint("/x").store.place == "/x"
