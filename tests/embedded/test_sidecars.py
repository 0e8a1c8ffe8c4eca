"""Settings files that no collection can have: they concern that collection only."""

from __future__ import annotations

import json
import os
import time

import pytest
import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient, files, sidecar
from fiftyone_qdrant.embedded.client import administration
from fiftyone_qdrant.embedded.owner import backups, indexing, store
from fiftyone_qdrant.embedded.owner.store import Store

GOOD = {
    "name": "good",
    "vectors": {"size": 4, "distance": "Dot"},
    "hnsw_config": {"m": 8},
    "optimizers_config": None,
    "quantization_config": {"scalar": {"type": "int8"}},
    "metadata": {"of": "tests"},
}
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
DEEP_METADATA = b'{"a":' * 120 + b"1" + b"}" * 121


def changed(path, value):
    """The good settings with another value somewhere: as JSON."""
    config = json.loads(json.dumps(GOOD))
    *outer, last = path.split(".")
    inner = config
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return json.dumps(config).encode()


ODD = ["abc", 5, [], {}, True, [[1]], {"x": {}}]
BAD_VALUES = {
    "name": [*ODD[1:], None, "", "x" * 256],
    "vectors": [*ODD, None],
    "vectors.size": ["abc", *ODD[2:], None, 0, -1, 1.5, 1 << 40],
    "vectors.distance": [*ODD, None, "cosine"],
    "vectors.datatype": ODD,
    "vectors.on_disk": ["abc", 1, [], {}],
    "on_disk_payload": ["abc", 1, [], {}],
    "index_due": ["abc", 1, [], {}],
    "metadata": ["abc", 5, []],
    "built": ["abc", 5, [], {"hnsw_config": 5}, {"points": "5"}, {"on_disk": []}],
    "hnsw_config": ["abc", 5, [], {"m": "8"}, {"m": [8]}],
    "optimizers_config": ["abc", 5, [], {"indexing_threshold": "x"}, {"x": 10**400}],
    "quantization_config": [*ODD[:4], {"a": {}, "b": {}}, {"scalar": None}],
}
BAD = {
    "empty": b"",
    "list": b"[]",
    "number": b"5",
    "null": b"null",
    "no_fields": b"{}",
    "half": json.dumps(GOOD).encode("utf-16")[:-3],
    "bytes": b"\xff\xfe\x00{",
    "deep": DEEP,
    "deep_metadata": changed("metadata.x", 1).replace(b": 1}", b": " + DEEP_METADATA),
    "nan": changed("metadata", {"x": float("nan")}),
    "digits": changed("hnsw_config.m", 1).replace(b": 1}", b": " + b"9" * 9000 + b"}"),
    **{
        f"{path.lower()}_{i}": changed(path, value)
        for path, values in BAD_VALUES.items()
        for i, value in enumerate(values)
    },
}
SOME = ["null", "half", "deep", "name_0", "vectors_1", "vectors.size_0", "index_due_1"]
SOME += ["optimizers_config_0", "built_3", "nan"]


@pytest.mark.parametrize("name", BAD)
def test_settings_that_cannot_be_a_collections_are_refused(tmp_path, name):
    (tmp_path / "good").mkdir()
    path = tmp_path / "good" / "collection.json"
    path.write_bytes(json.dumps(GOOD).encode())
    assert sidecar.read(str(path.parent)) == GOOD

    path.write_bytes(BAD[name])

    with pytest.raises(ValueError, match=r"its |it is |is not JSON|numbers|is missing"):
        sidecar.read(str(path.parent))


def make(root, bad):
    """A closed store with the collection "good", and copies with other settings."""
    os.makedirs(root)
    made = Store(str(root), "0.9.0")
    made.create(GOOD)
    points = [qe.Point(i, [float(i)] * 4, {"n": i}) for i in range(1, 4)]
    made.get("good").live.write(qe.UpdateOperation.upsert_points(points))
    made.close()
    good = root / "collections" / "good"
    for name, content in bad.items():
        place = root / "collections" / sidecar.directory_name(name)
        files.copy_tree(str(good), str(place))
        (place / "collection.json").write_bytes(content)
    return root


def test_bad_settings_concern_their_collection_only(store):
    make(store, {name: BAD[name] for name in SOME})
    (store / "collections" / ".DS_Store").write_bytes(b"\0\1")
    pipe = store / "collections" / "pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "collection.json")
    (store / "collections" / "link").symlink_to(store / "collections" / "good")
    names = sorted([*SOME, "pipe", "link", "good"])

    assert [c.name for c in administration.status(store).collections] == names
    with EmbeddedClient(store, timeout=30) as client:
        assert [c.name for c in client.get_collections().collections] == names
        pid = client.store_info()["pid"]
        for name in set(names) - {"good"}:
            with pytest.raises(errors.CollectionDamaged, match=f"'{name}' is damaged"):
                client.count(name)
        state = {c.name: c.problem for c in administration.status(store).collections}
        assert [name for name, problem in state.items() if not problem] == ["good"]
        checked = {c["name"]: c["problems"] for c in administration.verify(store)}
        assert [name for name, problems in checked.items() if not problems] == ["good"]
        client.delete("good", [1])
        client.flush("good")
        assert client.count("good").count == 2
        assert client.delete_collection("null")
        assert client.delete_collection("pipe")
        assert client.store_info()["pid"] == pid


def test_a_bad_sidecar_is_not_restored_and_hurts_no_other(tmp_path):
    target = Store(str(make(tmp_path / "target", {})), "0.9.0")
    source = str(make(tmp_path / "source", {name: BAD[name] for name in SOME}))
    for names in (*([name] for name in SOME), None):
        with pytest.raises(errors.CollectionDamaged, match="cannot be restored"):
            backups.restore(target, source, names, replace=True)

    done = backups.restore(target, source, ["good"], replace=True)

    assert done == [{"name": "good", "points": 3}]
    assert target.names() == ["good"]
    target.close()


def test_mended_settings_are_taken_up_without_a_restart(tmp_path):
    opened = Store(str(make(tmp_path / "s", {"b": b"{"})), "0.9.0")
    with pytest.raises(errors.CollectionDamaged):
        opened.get("b")

    path = tmp_path / "s" / "collections" / "b" / "collection.json"
    path.write_text(json.dumps({**GOOD, "name": "b"}))

    assert opened.get("b").counts()["points_count"] == 3
    opened.close()


def test_settings_that_cannot_be_read_now_are_not_called_damaged(tmp_path, monkeypatch):
    make(tmp_path / "s", {})

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(sidecar, "read_json", refuse)
        opened = Store(str(tmp_path / "s"), "0.9.0")
        with pytest.raises(errors.StoreUnavailable, match="may not be read"):
            opened.get("good")

    assert opened.get("good").counts()["points_count"] == 3
    opened.close()


@pytest.mark.parametrize("key", ["size", "distance"])
def test_settings_that_the_engines_files_contradict_are_damage(tmp_path, key):
    other = {"size": 8, "distance": "Euclid"}[key]
    content = changed(f"vectors.{key}", other).replace(b'"good"', b'"b"')
    opened = Store(str(make(tmp_path / "s", {"b": content})), "0.9.0")

    with pytest.raises(errors.CollectionDamaged, match=f"have {key} "):
        opened.get("b").counts()

    opened.close()


def test_changes_that_no_collection_can_have_are_refused(tmp_path):
    opened = Store(str(make(tmp_path / "s", {})), "0.9.0")
    for changes in (
        {"vectors": {"size": "x"}},
        {"name": "b"},
        {"hnsw_config": {"m": "8"}},
        {"quantization_config": {}},
        {"optimizers_config": {"indexing_threshold": "abc"}},
    ):
        with pytest.raises(errors.ConfigError):
            opened.get("good").update_settings(changes)
    with pytest.raises(errors.ConfigError):
        opened.create({**GOOD, "name": "b", "vectors": {"size": 0}})
    opened.close()

    assert (
        Store(str(tmp_path / "s"), "0.9.0").get("good").config["vectors"]["size"] == 4
    )


@pytest.mark.parametrize("method", ["look_after", "resume_indexing"])
def test_what_fails_with_one_collection_is_done_with_the_others(
    tmp_path, monkeypatch, caplog, method
):
    second = changed("name", "b")
    opened = Store(str(make(tmp_path / "s", {"b": second})), "0.9.0")
    looked = []

    def look(each):
        looked.append(each.name)
        raise RecursionError("no end")

    monkeypatch.setattr(store, "due", look)
    for each in opened.collections():
        each.index_is_due(True)
        each.live.grown_at = time.monotonic() - 10
    for _ in range(3):
        getattr(opened, method)()

    assert set(looked) == {"good", "b"}
    said = [r for r in caplog.records if "cannot" in r.message]
    assert len(said) == 2  # once each, not at every look
    monkeypatch.undo()
    opened.close()


def test_an_index_that_fails_in_an_unforeseen_way_is_reported(tmp_path, monkeypatch):
    opened = Store(str(make(tmp_path / "s", {})), "0.9.0")
    one = opened.get("good")
    monkeypatch.setattr(indexing, "copy_tree", lambda *_: [][1])

    one.update_settings({"optimizers_config": {"indexing_threshold": 0}})
    monkeypatch.setattr(store, "due", lambda _: {"hnsw_config": {}})
    opened.index_if_due("good")
    while opened.is_indexing():
        time.sleep(0.01)

    assert "list index out of range" in one.build_error
    opened.close()


def test_a_collection_that_is_not_used_gives_its_files_back(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_MAX_OPEN", 3)
    names = "bcdefgh"
    copies = {name: changed("name", name) for name in names}
    opened = Store(str(make(tmp_path / "s", copies)), "0.9.0")

    for name in names * 2:
        held = opened.get("good").live
        with held.use():
            assert opened.get(name).counts()["points_count"] == 3
            assert sum(c.live.is_open for c in opened.collections()) <= 3
            assert held.is_open  # it is in use
    with opened.get("b").live.use() as shard:
        assert shard.info().points_count == 3

    opened.close()
