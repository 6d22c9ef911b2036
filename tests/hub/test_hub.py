"""Models on the Hub: an unmodified client against a server in this process, and everything that can go wrong there."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from hub_server import TOKEN, HubServer, Repository
from huggingface_hub import constants

import rrzoo
from conftest import REPOSITORY, smooth_image
from rrzoo import errors, hub, zoo
from rrzoo.__main__ import main
from rrzoo.gallery import storage
from rrzoo.hub import client
from rrzoo.store import model_folder

NAME = "me/conv4-cifar10"
SPACE = "me/demo"
SHIPPED_NAMES = sorted(path.name for path in zoo.SHIPPED.iterdir())
SHIPPED = zoo.SHIPPED / "conv4-cifar10"
GALLERY = {f"gallery/{part}-1.safetensors" for part in ("features", "rows", "thumbnails")} | {"gallery/manifest.json"}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their names on the Hub."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="session")
def exported(model: rrzoo.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shipped model, with a gallery of twelve pictures."""
    folder = Path(shutil.copytree(SHIPPED, tmp_path_factory.mktemp("exported") / "conv4-cifar10"))
    shutil.rmtree(folder / "gallery", ignore_errors=True)
    for name in storage.FORMAT_1:
        (folder / name).unlink(missing_ok=True)
    random = np.random.default_rng(1)
    gallery = rrzoo.Gallery.from_images(model, [smooth_image(random, 30, 40) for _ in range(12)])
    gallery.save(folder / "gallery")
    model_folder.write_manifest(folder)
    return folder


def point_at(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the variables of the environment do when huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    running = HubServer()
    point_at(running.url, tmp_path / "hub", monkeypatch)
    yield running
    running.close()


@pytest.fixture
def repository(server: HubServer, exported: Path) -> Repository:
    return server.add(NAME, files_of(exported))


def fetched(server: HubServer) -> set[str]:
    """Return the names of all files that were downloaded."""
    paths = [line.split("/resolve/")[1] for line in server.requests if line.startswith("GET") and "/resolve/" in line]
    return {path.partition("/")[2] for path in paths}


def weights(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "hub").glob("models--*/snapshots/*/model.safetensors"))


def test_a_fetched_model_is_the_published_one(
    server: HubServer, repository: Repository, exported: Path, model: rrzoo.Model
) -> None:
    loaded = rrzoo.load(f"hub:{NAME}")
    assert not loaded.training
    assert loaded.fingerprint == model.fingerprint
    assert loaded.evaluation == model.evaluation
    first = {"manifest.json", "config.json", "model.safetensors", "evaluation.json", "README.md"}
    assert fetched(server) == first
    gallery = loaded.gallery()
    assert fetched(server) == {*first, *GALLERY}
    assert len(gallery) == 12
    np.testing.assert_array_equal(gallery.features(), rrzoo.Gallery.load(model, exported / "gallery").features())


def test_what_is_cached_costs_no_request(server: HubServer, repository: Repository) -> None:
    rrzoo.load(f"hub:{NAME}").gallery()
    repository.commit({**repository.head, "config.json": b"{}"})  # a branch that moves on changes nothing here
    server.requests.clear()
    rrzoo.load(f"hub:{NAME}").gallery()
    assert server.requests == []


def test_one_file_of_a_repository_without_a_manifest(server: HubServer) -> None:
    theirs = server.add("them/weights", {"model.safetensors": b"weights", "config.json": b"{}"})
    source = hub.Source("them/weights")
    path, commit = hub.fetch_file(source, "model.safetensors")
    assert path.read_bytes() == b"weights"
    assert commit in path.parts
    theirs.commit({"model.safetensors": b"newer"})
    server.requests.clear()
    assert hub.fetch_file(source, "model.safetensors") == (path, commit)
    assert server.requests == []
    with pytest.raises(errors.HubError, match=r"them/weights@main has no other\.safetensors$"):
        hub.fetch_file(source, "other.safetensors")


def test_torch_is_left_as_it_was(server: HubServer, repository: Repository) -> None:
    def state() -> tuple[object, ...]:
        seed = torch.get_rng_state().tolist()
        return (
            seed,
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.get_default_device(),
        )

    before = state()
    for name in ("conv4-cifar10", f"hub:{NAME}", f"dir:{SHIPPED}"):
        assert all(
            tensor.device.type == "meta" for tensor in rrzoo.load(name, device="cpu").to("meta").state_dict().values()
        )
    assert state() == before


def test_names_and_revisions(
    server: HubServer, repository: Repository, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.refs["v1"] = first = repository.refs["main"]
    repository.commit({"README.md": b"empty"})
    monkeypatch.setenv("RRZOO_HUB_OWNER", "me")
    tagged = rrzoo.load("conv4-cifar10@v1")
    assert tagged.folder is not None
    assert tagged.folder.name == first
    assert rrzoo.load(f"hub:{NAME}@{first}").folder == tagged.folder
    server.requests.clear()
    assert rrzoo.load("conv4-cifar10").folder == SHIPPED  # the package comes before the Hub
    assert server.requests == []
    server.add("me/conv4-other", repository.commits[first])
    assert rrzoo.load("conv4-other").fingerprint == model.fingerprint


@pytest.mark.parametrize(
    "name", ["hub:", "hub:me", "hub:../x", "hub:me/x/y", "hub:me/..", "hub:me/x@", "hub:me/x@../y"]
)
def test_what_is_no_repository_is_refused(name: str, server: HubServer) -> None:
    with pytest.raises(errors.ArgumentError, match="is no re"):
        rrzoo.load(name)
    assert server.requests == []


def test_refusals_each_say_what_to_do(server: HubServer, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(errors.HubError, match="me/none is not on the Hub, or is private"):
        rrzoo.load("hub:me/none")
    with pytest.raises(errors.HubError, match="has no revision 'v9'"):
        rrzoo.load(f"hub:{NAME}@v9")
    server.add("me/foreign", {"config.json": b"{}"})
    with pytest.raises(errors.HubError, match=r"^me/foreign@main has no manifest\.json"):
        rrzoo.load("hub:me/foreign")
    repository.gated = True
    with pytest.raises(errors.HubError, match="is gated: accept its terms"):
        rrzoo.load(f"hub:{NAME}")
    repository.gated = False
    server.status = 503
    with pytest.raises(errors.HubError, match="answers 503"):
        rrzoo.load(f"hub:{NAME}")
    server.status = None
    rrzoo.load(f"hub:{NAME}")


def test_a_wrong_token(server: HubServer, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(errors.HubError, match="refuses the token"):
        rrzoo.load(f"hub:{NAME}")


def test_a_download_that_is_cut_resumes(server: HubServer, repository: Repository, model: rrzoo.Model) -> None:
    server.cuts = 1
    assert rrzoo.load(f"hub:{NAME}").fingerprint == model.fingerprint


def test_a_download_that_is_always_cut_leaves_nothing_to_trust(
    server: HubServer, repository: Repository, model: rrzoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # of the client, between its tries
    with monkeypatch.context() as always:
        always.setattr(server, "cuts", 1000)
        always.setitem(repository.head, "model.safetensors", repository.head["model.safetensors"] + bytes(2_000_000))
        with pytest.raises(errors.HubError, match="can't be fetched"):
            rrzoo.load(f"hub:{NAME}")
    assert weights(tmp_path) == []
    assert rrzoo.load(f"hub:{NAME}").fingerprint == model.fingerprint


def test_changed_bytes_are_refused_and_removed(
    server: HubServer, repository: Repository, model: rrzoo.Model, tmp_path: Path
) -> None:
    server.flip = True
    for _ in range(2):
        with pytest.raises(errors.HubError, match=r"model\.safetensors of .* differs from its SHA-256"):
            rrzoo.load(f"hub:{NAME}")
        assert weights(tmp_path) == []
    server.flip = False
    assert rrzoo.load(f"hub:{NAME}").fingerprint == model.fingerprint


def test_a_cached_file_that_was_cut_short_is_refused_and_removed(
    server: HubServer, repository: Repository, model: rrzoo.Model, tmp_path: Path
) -> None:
    rrzoo.load(f"hub:{NAME}")
    (cached,) = weights(tmp_path)
    cached.resolve().write_bytes(repository.head["model.safetensors"][:-1000])
    with pytest.raises(errors.HubError, match="removed from the cache"):
        rrzoo.load(f"hub:{NAME}")
    assert rrzoo.load(f"hub:{NAME}").fingerprint == model.fingerprint


def test_without_a_network(server: HubServer, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    rrzoo.load(f"hub:{NAME}")
    server.close()
    rrzoo.load(f"hub:{NAME}")  # cached
    with pytest.raises(errors.HubError, match="is not in the cache and can't be fetched"):
        rrzoo.load(f"hub:{NAME}").gallery()  # its gallery is not
    monkeypatch.setenv("RRZOO_HUB_OWNER", "me")
    known = rf"Known: {', '.join(SHIPPED_NAMES)}\. Train it with: .*can't be fetched"
    with pytest.raises(errors.UnknownModelError, match=known):
        rrzoo.load("conv4-clay10")


def test_a_silent_network_is_given_up(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER", 0.2)
    server.silent = True
    with pytest.raises(errors.HubError, match="can't be fetched"):
        rrzoo.load(f"hub:{NAME}")
    assert len(server.requests) == 1  # what is not answered is not asked again


@pytest.mark.parametrize("when", ["HEAD", "GET"])
def test_a_download_that_falls_silent_is_given_up(
    when: str, server: HubServer, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.4)
    monkeypatch.setattr(client, "SLOWEST", 10_000_000)
    monkeypatch.setattr(client, "ANSWER", 1.0)
    server.stalls = when  # the client's own tries would take 7 minutes, or 1
    with pytest.raises(errors.HubError, match=r"can't be fetched .it was silent for 0\.4"):
        rrzoo.load(f"hub:{NAME}")
    assert server.requests[-1].startswith(when)
    assert weights(tmp_path) == []


def test_a_slow_download_is_not_silent(
    server: HubServer, repository: Repository, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.4)
    monkeypatch.setattr(client, "ANSWER", 1.0)
    server.drip = 0.2  # two seconds in all, and 5 are allowed
    assert rrzoo.load(f"hub:{NAME}").fingerprint == model.fingerprint


def test_what_is_no_hub_is_named(server: HubServer, repository: Repository) -> None:
    server.page = True
    with pytest.raises(errors.HubError, match=r"^what answers for me/conv4-cifar10@main is no Hub"):
        rrzoo.load(f"hub:{NAME}")


@pytest.mark.parametrize(
    "name",
    [
        "../../precious",
        "a/b",
        ".hidden",
        "",
        "/etc/passwd",
        "gallery/../x",
        "gallery/..",
        "gallery/",
        "gallery//x",
        "gallery/a/b",
        "gallery/.x",
        "gallery\\x",
        "gallery/a\\b",
        "../gallery/x",
        "gallery/x\n",
    ],
)
def test_a_manifest_that_lists_other_folders_is_refused(
    name: str, server: HubServer, repository: Repository, tmp_path: Path
) -> None:
    manifest = json.loads(repository.head["manifest.json"])
    manifest["sha256"][name] = "0" * 64
    repository.commit({**repository.head, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(errors.HubError, match="only names of files in its own folder are allowed"):
        rrzoo.load(f"hub:{NAME}")


def test_a_commit_that_is_a_path_is_refused(server: HubServer, repository: Repository) -> None:
    repository.commits["../../../x"] = repository.head
    repository.refs["main"] = "../../../x"
    with pytest.raises(errors.HubError, match="is no commit"):
        rrzoo.load(f"hub:{NAME}")


def test_publish_then_load(
    server: HubServer, exported: Path, model: rrzoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    (folder / "optimizer.pt").write_bytes(b"a pickle")
    source = hub.Source(NAME, "v1")
    assert "would upload" in hub.publish(folder, source, dry_run=True)
    assert server.requests == []
    assert "files uploaded" in hub.publish(folder, source, private=True)
    repository = server.repositories[NAME]
    assert repository.private
    assert "optimizer.pt" not in repository.head
    assert len(repository.commits) == 2  # the empty one that created it, and ours
    assert "nothing changed" in hub.publish(folder, source)
    assert len(repository.commits) == 2
    point_at(server.url, tmp_path / "fresh", monkeypatch)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    loaded = rrzoo.load(f"hub:{NAME}@v1")
    picture = np.full((40, 40, 3), 90, np.uint8)
    np.testing.assert_array_equal(loaded.classify(picture), model.classify(picture))
    np.testing.assert_array_equal(loaded.features(picture), model.features(picture))
    assert len(loaded.gallery()) == 12


def test_an_older_generation_goes_when_a_newer_one_is_published(
    server: HubServer, exported: Path, model: rrzoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.publish(exported, hub.Source(NAME, "v1"))
    repository = server.repositories[NAME]
    older_format = dict.fromkeys(("index.faiss", "gallery.json", "gallery.safetensors"), b"old")
    repository.commit({**repository.head, **older_format, "notes.txt": b"of a person"})
    newer = Path(shutil.copytree(exported, tmp_path / "copy"))
    rrzoo.Gallery.load(model, newer / "gallery").save(newer / "gallery")
    model_folder.write_manifest(newer)
    hub.publish(newer, hub.Source(NAME, "v2"))
    assert {name for name in repository.head if name.startswith("gallery/")} == {
        name.replace("-1.", "-2.") for name in GALLERY
    }
    assert not older_format.keys() & repository.head.keys()
    assert repository.head["notes.txt"] == b"of a person"
    for revision in ("v1", "v2"):
        assert len(rrzoo.load(f"hub:{NAME}@{revision}").gallery()) == 12


def test_a_gallery_that_is_changed_on_its_way_is_refused(server: HubServer, repository: Repository) -> None:
    loaded = rrzoo.load(f"hub:{NAME}")
    rows = "gallery/rows-1.safetensors"
    whole = repository.head[rows]
    repository.head[rows] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(errors.HubError, match=f"{rows} of .* differs from its SHA-256"):
        loaded.gallery()
    repository.head[rows] = whole
    assert len(loaded.gallery()) == 12


def test_a_model_without_a_gallery_shows_clay_figures(server: HubServer, repository: Repository) -> None:
    manifest = json.loads(repository.head["manifest.json"])
    manifest["sha256"] = {name: digest for name, digest in manifest["sha256"].items() if name not in GALLERY}
    repository.commit({**repository.head, "manifest.json": json.dumps(manifest).encode()})
    assert len(rrzoo.load(f"hub:{NAME}").gallery()) == 1000


def test_a_newer_commit_is_not_overwritten(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.publish(SHIPPED, hub.Source(NAME, "v1"))
    repository = server.repositories[NAME]
    repository.commit({**repository.head, "config.json": b"{}"})
    newer = {**repository.head, "config.json": b'{"newer": 1}'}

    def commit_before_ours() -> None:
        repository.commit(newer)

    server.before_commit = commit_before_ours
    with pytest.raises(errors.HubError, match=r"^me/conv4-cifar10 got a newer commit .* publish again$"):
        hub.publish(SHIPPED, hub.Source(NAME, "v2"))
    assert repository.head == newer
    assert "v2" not in repository.refs
    server.before_commit = None
    hub.publish(SHIPPED, hub.Source(NAME, "v2"))
    assert repository.head["config.json"] == (SHIPPED / "config.json").read_bytes()


def test_a_newer_commit_of_a_space_is_not_overwritten(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    files = {"README.md": (REPOSITORY / "README.md").read_bytes(), "app.py": b"1"}
    hub.publish_space(files, SPACE, [])
    space = server.repositories[f"spaces/{SPACE}"]
    server.before_commit = lambda: space.commit({**space.head, "app.py": b"newer"})
    with pytest.raises(errors.HubError, match=r"^me/demo got a newer commit"):
        hub.publish_space({**files, "app.py": b"2"}, SPACE, [])
    assert space.head["app.py"] == b"newer"


def test_two_processes_do_not_share_the_name_of_an_unfinished_file(
    server: HubServer, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    replace_file = Path.replace

    def note(path: Path, target: Path) -> Path:
        if target.parent.name == "refs":
            names.append(path.parent.name)  # of the folder that it is written in
        return replace_file(path, target)

    monkeypatch.setattr(Path, "replace", note)
    for cache in ("one", "other"):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / cache))
        rrzoo.load(f"hub:{NAME}")
    assert len(names) == len(set(names)) == 2


def test_an_edited_card_stays(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.publish(SHIPPED, hub.Source(NAME, "v1"))
    repository = server.repositories[NAME]
    repository.commit({**repository.head, "README.md": b"edited by a person"})
    assert "edited there and stays" in hub.publish(SHIPPED, hub.Source(NAME, "v2"))
    assert repository.head["README.md"] == b"edited by a person"
    with pytest.raises(errors.HubError, match=r"^me/conv4-cifar10@v2 is there already, and differs"):
        hub.publish(SHIPPED, hub.Source(NAME, "v2"), replace_card=True)
    hub.publish(SHIPPED, hub.Source(NAME, "v3"), replace_card=True)
    assert repository.head["README.md"] == (SHIPPED / "README.md").read_bytes()


def test_what_changed_since_its_export_is_not_published(server: HubServer, exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    (folder / "gallery" / "manifest.json").write_text("{}")
    with pytest.raises(errors.ModelFolderError, match=r"gallery/manifest\.json changed since the export"):
        hub.publish(folder, hub.Source(NAME, "v1"))
    assert server.requests == []


def script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run scripts/publish.py."""
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    monkeypatch.setattr(sys, "argv", ["publish.py", *arguments])
    runpy.run_path(str(REPOSITORY / "scripts" / "publish.py"), run_name="__main__")


def test_publish_the_demo(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    script(monkeypatch, "--space", SPACE, "--dry-run")
    assert capsys.readouterr().out.startswith(f"would upload to the Space {SPACE}")
    assert server.requests == []
    stray = REPOSITORY / "rrzoo" / "stray-of-a-test.py"
    stray.touch()
    try:
        script(monkeypatch, "--space", SPACE, "--private")
    finally:
        stray.unlink()
    space = server.repositories[f"spaces/{SPACE}"]
    assert space.kind == "space"
    assert space.private
    assert len(space.commits) == 2  # the empty one that created it, and ours
    uploaded = space.head
    assert {"app.py", "requirements.txt", "rrzoo/__init__.py", "rrzoo/models/conv4-cifar10/config.json"} <= set(
        uploaded
    )
    assert not [path for path in uploaded if "stray" in path or path.startswith("tests") or "__pycache__" in path]
    card = huggingface_hub.SpaceCard(uploaded["README.md"].decode()).data
    assert (card.sdk, card.app_file, card.models) == ("gradio", "app.py", [f"me/{name}" for name in SHIPPED_NAMES])
    assert f"gradio=={card.sdk_version}\n".encode() in uploaded["requirements.txt"]
    assert isinstance(card.python_version, str)

    for path, content in uploaded.items():
        (tmp_path / "space" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "space" / path).write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-c", "import app, rrzoo; print(rrzoo.__file__, *rrzoo.list_models())"],
        cwd=tmp_path / "space",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    package, *names = run.stdout.split()
    assert package == str(tmp_path / "space" / "rrzoo" / "__init__.py")
    assert sorted(names) == sorted(SHIPPED_NAMES)


def test_only_what_changed_is_uploaded(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    readme = (REPOSITORY / "README.md").read_bytes()
    files = {"README.md": readme, "app.py": b"1", "rrzoo/a.py": b"a", "rrzoo/m.safetensors": b"m" * 99}
    assert "4 files uploaded" in hub.publish_space(files, SPACE, ["me/b", "me/a"])
    space = server.repositories[f"spaces/{SPACE}"]
    assert "nothing changed" in hub.publish_space(files, SPACE, ["me/a", "me/b"])
    assert len(space.commits) == 2
    space.commit({**space.head, "rrzoo/old.py": b"old", "notes.txt": b"of a person"})
    assert "1 files uploaded, 1 deleted" in hub.publish_space({**files, "app.py": b"2"}, SPACE, ["me/a", "me/b"])
    assert set(space.head) == {*files, ".gitattributes", "notes.txt"}
    assert space.head["app.py"] == b"2"


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("title: x\nsdk: gradio", "lacks sdk_version, python_version, app_file"),
        ("title: [", "can't be read"),
        ("title: x\nsdk: gradio\nsdk_version: 6\npython_version: '3.11'\napp_file: main.py", "is 'main.py', which is"),
    ],
)
def test_front_matter_is_checked(front: str, message: str) -> None:
    files = {"README.md": f"---\n{front}\n---\ntext".encode(), "app.py": b""}
    with pytest.raises(errors.ArgumentError, match=message):
        hub.publish_space(files, SPACE, [], dry_run=True)


def test_a_space_may_have_a_gallery_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is uploaded is where app.py looks for it, which then opens with the gallery's model."""
    script(monkeypatch, "--space", SPACE, "--dry-run", "--gallery", str(SHIPPED / "gallery"))
    assert "gallery/manifest.json, gallery/rows-1.safetensors" in capsys.readouterr().out
    shutil.copytree(SHIPPED / "gallery", tmp_path / "gallery")
    arguments = runpy.run_path(str(REPOSITORY / "app.py"))["arguments"]
    own = tmp_path / "gallery"
    assert arguments([], own) == ["--gallery", str(own), "--model", "conv4-cifar10"]
    assert arguments(["--model", "x"], own) == ["--model", "x", "--gallery", str(own)]
    assert arguments(["--gallery", "y"], own) == ["--gallery", "y"]
    assert arguments([], tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name models"),
        (["conv4-cifar10"], "--owner"),
        (["--space", "me"], "'me' is no repository"),
        (["conv4-cifar10", "--owner", "me", "--gallery", "."], "--gallery is for a Space"),
        (["--space", "me/demo", "--gallery", "."], "holds no gallery"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        script(monkeypatch, *arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_card_that_the_hub_refuses(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.complaint = "license: unknown"
    with pytest.raises(errors.HubError, match=r"the Hub refuses this upload: .*license: unknown"):
        hub.publish(SHIPPED, hub.Source(NAME, "v1"))
    assert len(server.repositories[NAME].commits) == 1


def test_a_published_model_is_verified(
    server: HubServer, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", f"hub:{NAME}"])
    listed = json.loads(repository.head["manifest.json"])["sha256"]
    assert capsys.readouterr().out.startswith(f"{len(listed)} files have the SHA-256")
    assert {*listed, "README.md"} <= fetched(server)
