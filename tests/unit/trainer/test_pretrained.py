"""The base model that a user names: a folder as people have them, a GGUF file, a hub's id."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.config.settings import load_config
from shared.errors import ArtifactError, SettingsError
from shared.store.store import LocalStore, list_bundle, materialize
from trainer_service.base.base import base_bundle
from trainer_service.base.model_files import check_model_folder
from trainer_service.base.pretrained import check_source, find_source, model_folder


def write_folder(folder, shards=1):
    """No model that could be run, but one by its files."""
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    names = [f"model-{n}.safetensors" for n in range(shards)] if shards > 1 else ["model.safetensors"]
    for number, name in enumerate(names):
        write_weights(folder / name, np.full(1 << 18, number, dtype=np.uint32))
    if shards > 1:
        index = {"weight_map": {f"w{n}": name for n, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_weights(path, bits):
    header = {path.stem: {"dtype": "F32", "shape": [bits.size], "data_offsets": [0, bits.nbytes]}}
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bits.tobytes())


def bundle_of(base, root):
    config = load_config([{"model": {"base": str(base)}}])
    store = LocalStore(root / "store")
    return store, base_bundle(config, store, root / "cache")[0]


def test_a_folder_becomes_a_bundle_of_its_weights_and_texts_alone(tmp_path):
    folder = write_folder(tmp_path / "model")
    others = ("README.md", "model.py", "pytorch_model.bin", "model.gguf")
    for name in (*others, "adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text("x")
    store, digest = bundle_of(folder, tmp_path)
    assert set(list_bundle(store, digest)) == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors",
    }  # fmt: skip


def test_a_snapshot_of_a_hubs_cache_is_the_model_behind_its_links_and_takes_no_more_disk(tmp_path):
    plain = write_folder(tmp_path / "plain")
    hub = tmp_path / "models--a--b"
    (hub / "blobs").mkdir(parents=True)
    (hub / "snapshots/0123").mkdir(parents=True)
    for path in plain.iterdir():
        (hub / "blobs" / path.name).write_bytes(path.read_bytes())
        (hub / "snapshots/0123" / path.name).symlink_to(Path("../../blobs") / path.name)
    store, digest = bundle_of(hub / "snapshots/0123", tmp_path)
    assert digest == bundle_of(plain, tmp_path / "other")[1]
    kept = materialize(store, digest, tmp_path / "cache/bundles")
    assert (kept / "model.safetensors").samefile(hub / "blobs/model.safetensors")


def test_a_users_folder_is_copied_once_so_that_changing_it_changes_no_run(tmp_path):
    folder = write_folder(tmp_path / "model")
    store, digest = bundle_of(folder, tmp_path)
    before = (folder / "model.safetensors").read_bytes()
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    kept = materialize(store, digest, tmp_path / "cache/bundles")
    again = materialize(store, digest, tmp_path / "elsewhere")
    assert (kept / "model.safetensors").read_bytes() == before
    assert (again / "model.safetensors").samefile(kept / "model.safetensors")
    assert bundle_of(folder, tmp_path)[1] != digest


def test_shards_are_those_that_the_index_names(tmp_path):
    folder = write_folder(tmp_path / "model", shards=3)
    write_weights(folder / "consolidated.safetensors", np.zeros(4, dtype=np.uint32))
    store, digest = bundle_of(folder, tmp_path)
    weights = {name for name in list_bundle(store, digest) if name.endswith(".safetensors")}
    assert weights == {"model-0.safetensors", "model-1.safetensors", "model-2.safetensors"}
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"lacks model-1\.safetensors"):
        check_model_folder(folder)


@pytest.mark.parametrize(
    ("inside", "hint"),
    [
        ("snapshots/0123/config.json", "give the snapshot in it: .*snapshots/0123"),
        ("tiny.Q4.gguf", r"give the file: .*tiny\.Q4\.gguf"),
        ("adapter_config.json", "that is an adapter"),
        ("pytorch_model.bin", "in Hugging Face format"),
    ],
)
def test_a_folder_that_is_no_models_says_what_to_give_instead(inside, hint, tmp_path):
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / inside).write_text("{}")
    with pytest.raises(ArtifactError, match=f"has no config.json .*{hint}"):
        check_source(str(tmp_path))


def test_weights_whose_download_was_cut_short_are_named_before_a_run(tmp_path):
    folder = write_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "blobs/not-there")
    with pytest.raises(ArtifactError, match=r"model\.safetensors leads to no file .*complete the download"):
        check_source(str(folder))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.safetensors", LFS, "stands for a file in git-lfs .git lfs pull"),
        ("tokenizer.json", LFS, "stands for a file in git-lfs .git lfs pull"),
        ("config.json", b'{"quantization_config": {"quant_method": "gptq"}}', "is quantized"),
        ("config.json", b'{"quantization": {"bits": 4}}', "is quantized"),
        ("config.json", b'{"model_type": ', r"config\.json is no JSON"),
        ("config.json", b"[]", r"config\.json holds no JSON object"),
        ("tokenizer.json", b"<html>", r"tokenizer\.json is no JSON"),
    ],
)
def test_a_folder_that_can_not_be_used_is_refused_before_a_run(name, content, reason, tmp_path):
    folder = write_folder(tmp_path / "model")
    check_source(str(folder))
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=reason):
        check_source(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.gguf", LFS, "stands for a file in git-lfs .git lfs pull"),
        ("a.gguf", b"<html>", "is no GGUF file .download it again"),
        ("a.gguf", b"", "is no GGUF file"),
        ("a-00001-of-00003.gguf", b"GGUF", "is one part of several .*llama-gguf-split --merge"),
    ],
)
def test_a_gguf_file_that_can_not_be_used_is_refused_before_a_run(name, content, reason, tmp_path):
    (tmp_path / "b-00001-of-00001.gguf").write_bytes(b"GGUF")
    check_source(str(tmp_path / "b-00001-of-00001.gguf"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=reason):
        check_source(str(tmp_path / name))


@pytest.mark.parametrize("lost", ["model.safetensors.index.json", "tokenizer.json"])
def test_shards_without_their_index_and_a_model_without_a_fast_tokenizer_say_what_they_need(lost, tmp_path):
    folder = write_folder(tmp_path / "model", shards=2)
    check_source(str(folder))
    (folder / lost).unlink()
    hint = "need model.safetensors.index.json" if "index" in lost else "save_pretrained"
    with pytest.raises(ArtifactError, match=hint):
        check_source(str(folder))


@pytest.mark.parametrize("base", ["/no/such/folder", "word", "./a/b", "~/none", "a/b/c"])
def test_what_names_no_model_is_refused_with_what_may_be_given(base):
    with pytest.raises(SettingsError, match=r"give a folder, a \.gguf file"):
        find_source(base)


def test_a_hubs_id_is_read_with_its_revision_and_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = find_source("org/Model-1.5B@refs/pr/7")
    assert (named["id"], named["revision"]) == ("org/Model-1.5B", "refs/pr/7")
    (tmp_path / "org/model").mkdir(parents=True)
    assert find_source("org/model") == Path("org/model")


def test_a_hub_that_can_not_be_reached_is_said_with_what_to_do(tmp_path):
    """In a process of its own: the hub's client reads its addresses when it is imported."""
    program = "from trainer_service.base.hub import download; download('org/model', 'main')"
    surroundings = os.environ | {
        "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], env=surroundings, capture_output=True, text=True)
    assert "no folder org/model@main, and no hub can be reached" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_gguf_file_is_converted_once_and_gives_the_weights_that_were_written(tmp_path):
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "tiny.gguf"
    weights = write_gguf(gguf, file)
    folder = model_folder(str(file), tmp_path / "cache", threads=1)
    check_model_folder(folder)
    from safetensors.numpy import load_file

    found = load_file(folder / "model.safetensors")
    assert np.array_equal(found["model.embed_tokens.weight"], weights["token_embd.weight"])
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 1
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert model_folder(str(file), tmp_path / "cache", threads=1).stat().st_ctime == folder.stat().st_ctime


@pytest.mark.slow
def test_a_gguf_file_that_transformers_can_not_read_is_refused_with_its_reason(tmp_path):
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "odd.gguf"
    write_gguf(gguf, file, architecture="unheard")
    with pytest.raises(SettingsError, match=r"odd\.gguf can't be converted: .*unheard"):
        model_folder(str(file), tmp_path / "cache", threads=1)


@pytest.mark.slow
def test_a_gguf_file_that_breaks_off_is_refused_at_the_first_try(tmp_path):
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "cut.gguf"
    write_gguf(gguf, file)
    file.write_bytes(file.read_bytes()[:693])  # within the tokens' names
    with pytest.raises(SettingsError, match=r"cut\.gguf can't be converted: error"):
        model_folder(str(file), tmp_path / "cache", threads=1)


def write_gguf(gguf, path, architecture="llama"):
    """One llama layer of width 32 with a byte-level vocabulary of 260."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = ["<end>", *[chr(256 + n) for n in range(256)], "a", "b", "ab"]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, *[1] * (len(tokens) - 1)])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    numbers = np.random.default_rng(0)
    shapes = {
        "token_embd.weight": (len(tokens), 32),
        "output_norm.weight": (32,),
        "blk.0.attn_norm.weight": (32,),
        "blk.0.ffn_norm.weight": (32,),
        "blk.0.attn_q.weight": (32, 32),
        "blk.0.attn_k.weight": (16, 32),
        "blk.0.attn_v.weight": (16, 32),
        "blk.0.attn_output.weight": (32, 32),
        "blk.0.ffn_gate.weight": (48, 32),
        "blk.0.ffn_up.weight": (48, 32),
        "blk.0.ffn_down.weight": (32, 48),
    }
    weights = {name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, weight in weights.items():
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights
