"""Pictures below an address, in shards and in tables: listed and read as those of a folder are."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from rrzoo import errors
from rrzoo.gallery import folders, listing, remote
from rrzoo.gallery.remote import addresses, lance_tables
from rrzoo.gallery.sources import PictureSource


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six pictures, three of each of two labels, and a letter."""
    folder = tmp_path / "photos"
    noise = np.random.default_rng(0).integers(0, 255, (6, 40, 50, 3), np.uint8)
    for number, pixels in enumerate(noise):
        path = folder / ("sea" if number % 2 else "wood") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "letter.txt").write_text("dear")
    return folder


@pytest.fixture
def bucket(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same pictures on an S3 server of this machine: yields the address."""
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    files = S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True)
    files.create_dir("pictures")
    for path in filter(Path.is_file, photos.rglob("*")):
        with files.open_output_stream(f"pictures/all/{path.relative_to(photos).as_posix()}") as stream:
            stream.write(path.read_bytes())
    yield f"s3://pictures/all?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()
    addresses.open_address.cache_clear()


def pixels(source: PictureSource) -> list[list[int]]:
    """Return what is read."""
    return [picture.read(99, []).ravel().tolist() for picture in source.pictures]


def same(found: PictureSource, folder: Path) -> None:
    """Compare with what a folder's own listing says."""
    there = folders.of_folder(folder)
    assert [picture.source for picture in found.pictures] == [picture.source for picture in there.pictures]
    assert [picture.label for picture in found.pictures] == [picture.label for picture in there.pictures]
    assert found.classes == there.classes == ("sea", "wood")
    assert pixels(found) == pixels(there)


def test_an_address(photos: Path) -> None:
    found = remote.of_address(photos.as_uri())
    same(found, photos)
    assert [picture.stamp for picture in found.pictures] == [
        picture.stamp for picture in folders.of_folder(photos).pictures
    ]
    assert found.notes == ("1 files are ignored for their type: 1 .txt",)


def test_object_storage(photos: Path, bucket: str) -> None:
    same(remote.of_address(bucket), photos)
    with pytest.raises(errors.GalleryError, match=r"^s3://nobodys/x.* can't be read: "):
        remote.of_address(bucket.replace("pictures/all", "nobodys/x"))
    with pytest.raises(errors.GalleryError, match=r"none.* can't be read: .*does not exist"):
        remote.of_address(bucket.replace("/all", "/none"))


def test_a_shard(photos: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard-0.tar"
    with tarfile.open(shard, "w") as tar:
        for path in sorted(photos.rglob("*.png")):
            label = path.parent.name.encode()
            tar.add(path, f"deep/{path.stem}.png")
            entry = tarfile.TarInfo(f"deep/{path.stem}.cls")
            entry.size = len(label)
            tar.addfile(entry, io.BytesIO(label))
    found = remote.of_address(str(shard))
    there = {path.stem: path for path in photos.rglob("*.png")}
    assert [picture.source for picture in found.pictures] == [f"shard-0.tar/deep/{n}.png" for n in range(6)]
    assert [picture.label for picture in found.pictures] == [there[str(n)].parent.name for n in range(6)]
    expected = [np.asarray(Image.open(there[str(n)])).ravel().tolist() for n in range(6)]
    assert pixels(found) == expected
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(errors.GalleryError, match=r"shard-0\.tar can't be read|holds no pictures"):
        remote.of_address(str(shard))
    shard.write_bytes(b"no tar" * 500)
    with pytest.raises(errors.GalleryError, match=r"shard-0\.tar can't be read"):
        remote.of_address(str(shard))


def test_a_table_as_the_hub_has_them(photos: Path, tmp_path: Path) -> None:
    paths = sorted(photos.rglob("*.png"))
    columns = {
        "image": [{"bytes": path.read_bytes(), "path": path.name} for path in paths],
        "label": [["sea", "wood"].index(path.parent.name) for path in paths],
    }
    names = {"info": {"features": {"label": {"names": ["sea", "wood"], "_type": "ClassLabel"}}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(names)})
    parquet.write_table(table, tmp_path / "train.parquet", row_group_size=4)
    found = remote.of_address(str(tmp_path / "train.parquet"))
    assert [picture.source for picture in found.pictures] == [f"train.parquet/{n}" for n in range(6)]
    assert [picture.label for picture in found.pictures] == [path.parent.name for path in paths]
    assert pixels(found) == [np.asarray(Image.open(path)).ravel().tolist() for path in paths]


def test_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"jpg": [b"no picture", None], "class": ["a", None]}), path)
    one, two = remote.of_address(str(path)).pictures
    assert (one.label, two.label) == ("a", None)
    with pytest.raises(errors.ImageError, match=r"^t\.parquet is not an image that can be read"):
        one.read(99, [])
    with pytest.raises(errors.ImageError, match=r"^t\.parquet holds no bytes there"):
        two.read(99, [])
    parquet.write_table(pa.table({"a": [b"x"], "b": [b"y"], "n": [1]}), path)
    with pytest.raises(errors.GalleryError, match=r"t\.parquet has 2 columns of bytes \(a, b, n\): one is needed"):
        remote.of_address(str(path))
    path.write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(errors.GalleryError, match=r"t\.parquet can't be read"):
        remote.of_address(str(path))


def test_addresses_that_are_none() -> None:
    with pytest.raises(errors.GalleryError, match=r"^ftp://host/x can't be opened: "):
        remote.of_address("ftp://host/x")
    with pytest.raises(errors.ArgumentError, match=r"^the address s3://\.\.\.@bucket/x holds a name or key"):
        remote.of_address("s3://key:secret@bucket/x")
    assert not remote.is_remote("photos")
    assert not remote.is_remote("gone.parquet")
    assert remote.is_remote("s3://bucket/x")


def lance_table(place: str, photos: Path, **connection: object) -> list[Path]:
    """Write the pictures, in the order returned, into a table `photos` of LanceDB, a version for each two."""
    import lancedb

    paths = sorted(photos.rglob("*.png"))
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": path.parent.name, "n": n}
        for n, path in enumerate(paths)
    ]
    table = lancedb.connect(place, **connection).create_table("photos", rows[:2])
    for start in (2, 4):
        table.add(rows[start : start + 2])
    return paths


def test_a_table_of_lancedb(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lancedb

    paths = lance_table(str(tmp_path), photos)
    address = f"lance:{tmp_path}/photos.lance"
    assert remote.is_remote(address)
    found = remote.of_address(address)
    assert [picture.source for picture in found.pictures] == [f"photos.lance/{n}" for n in range(6)]
    assert [picture.label for picture in found.pictures] == [path.parent.name for path in paths]
    expected = [np.asarray(Image.open(path)).ravel().tolist() for path in paths]
    assert pixels(found) == expected
    table = lancedb.connect(tmp_path).open_table("photos")
    table.delete("n in (1, 3)")
    table.add([{"image": {"bytes": b"no picture", "path": "x"}, "label": "sea", "n": 6}])
    table.add([{"image": None, "label": None, "n": 7}])
    lance_tables._rows.cache_clear()
    assert pixels(found) == expected  # of the version that was listed
    later = remote.of_address(address)
    assert {picture.stamp for picture in later.pictures}.isdisjoint(picture.stamp for picture in found.pictures)
    *good, broken, empty = later.pictures
    assert [picture.read(99, []).ravel().tolist() for picture in good] == [expected[n] for n in (0, 2, 4, 5)]
    with pytest.raises(errors.ImageError, match=r"^photos\.lance is not an image that can be read"):
        broken.read(99, [])
    with pytest.raises(errors.ImageError, match=r"^photos\.lance holds no bytes there"):
        empty.read(99, [])
    monkeypatch.chdir(tmp_path)
    assert listing.identity("lance:photos.lance") == listing.absolute("lance:photos.lance") == address
    assert listing.name("lance:photos.lance") == "photos.lance"
    assert remote.of_address("lance:photos.lance").pictures[0].source == "photos.lance/0"


def test_a_table_of_lancedb_below_a_question_mark(photos: Path, tmp_path: Path) -> None:
    """In a path it is no query."""
    folder = tmp_path / "which?"
    folder.mkdir()
    lance_table(str(folder), photos)
    source = listing.listed(f"lance:{folder}/photos.lance")
    assert source.pictures[0].source == "photos.lance/0"
    assert sorted(pixels(source)) == sorted(pixels(listing.listed(photos)))


def test_a_table_of_lancedb_in_object_storage(photos: Path, bucket: str) -> None:
    top, _, query = bucket.partition("?")
    place = query.partition("&")[0].removeprefix("endpoint_override=")
    options = {"endpoint": f"http://{place}", "allow_http": "true", "region": "us-east-1"}
    paths = lance_table(top, photos, storage_options=options)
    found = remote.of_address(f"lance:{top}/photos.lance?{query}")
    assert pixels(found) == [np.asarray(Image.open(path)).ravel().tolist() for path in paths]
    with pytest.raises(errors.GalleryError, match=r"^lance:s3://pictures/all/none\.lance\S* can't be read: "):
        remote.of_address(f"lance:{top}/none.lance?{query}")


def test_tables_of_lancedb_that_are_none(tmp_path: Path) -> None:
    import lancedb

    lancedb.connect(tmp_path).create_table("numbers", [{"n": 1}])
    (tmp_path / "folder.lance").mkdir()
    for place, problem in {
        f"{tmp_path}/numbers.lance": r"numbers\.lance has 0 columns of bytes \(n\): one is needed, of image files",
        f"{tmp_path}/folder.lance": r"folder\.lance can't be read: ",
        f"{tmp_path}/none.lance": r"none\.lance is not there: name the folder of a table of LanceDB",
    }.items():
        with pytest.raises(errors.GalleryError, match=problem):
            remote.of_address(f"lance:{place}")
    assert not (tmp_path / "none.lance").exists()
    for place, problem in {
        f"{tmp_path}/numbers": r"names no table: write lance:FOLDER/NAME\.lance",
        "s3://key:secret@bucket/x.lance": r"^lance:s3://\.\.\.@bucket/x\.lance holds a name or key",
    }.items():
        with pytest.raises(errors.ArgumentError, match=problem):
            remote.of_address(f"lance:{place}")
