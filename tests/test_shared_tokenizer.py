"""A tokenizer that was handed over tells the same, in a process that never imports open_clip."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from curate.config import ModelConfig
from curate.encoder import Encoder
from curate.loading import load_tokenizer, tokenizing
from curate.shared_tokenizer import freeze_tokenizer, thaw_tokenizer

CAPTIONS = ["a cat on a mat", "", "<end_of_text> Ünïcode &amp; more", "word " * 100]


def test_another_process_tokenises_alike_without_the_package(
    tiny_encoder: Encoder, tmp_path: Path
) -> None:
    frozen = tiny_encoder.tokenizer()
    assert frozen is not None
    (tmp_path / "tokenizer").write_bytes(frozen)
    script = (
        "import sys, pathlib, curate.pixels\n"
        "from curate.shared_tokenizer import thaw_tokenizer\n"
        "tokenizer = thaw_tokenizer(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(tokenizer(sys.argv[2:], context_length=16).tolist())\n"
        "assert 'open_clip' not in sys.modules and 'timm' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "tokenizer"), *CAPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(load_tokenizer("ViT-B-32", 16)(CAPTIONS).tolist())


def test_those_who_take_over_a_model_take_over_its_tokenizer(
    tiny_encoder: Encoder, tiny_model: str
) -> None:
    second = Encoder(ModelConfig(name=tiny_model, device="cpu"), tiny_encoder.share())
    frozen = second.tokenizer()
    assert frozen is not None
    assert frozen == tiny_encoder.tokenizer()
    tokens = tokenizing(thaw_tokenizer(frozen), 16)(CAPTIONS)
    assert tokens.tolist() == load_tokenizer(tiny_model, 16)(CAPTIONS).tolist()


def test_what_cannot_be_pickled_is_left_to_its_name() -> None:
    assert freeze_tokenizer(threading.Lock()) is None
    assert freeze_tokenizer(lambda captions: captions) is None
