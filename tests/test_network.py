"""Nothing calls home, and nothing needs a network but what downloads weights. test_chain.py runs the whole chain so."""

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from offline import ROOT, own_network, run_offline
from torchvision.models import resnet18

from datatools import downloads
from datatools.errors import UserError
from datatools.stages import Pool, run_stage
from utils.checkpoint import load_pretrained

DETECT = """
import importlib.util
import cv2
import numpy as np
from datatools.encoders import find_encoder, loaded
from datatools.text_detector import load_detector
if importlib.util.find_spec("silero_vad"):
    loaded(find_encoder("silero")).sound(np.zeros(44100, np.float32), 22050, 2)
image = np.full((360, 640, 3), 255, np.uint8)
cv2.putText(image, "OPENING", (20, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 5)
print(len(load_detector("rapidocr", threads=1).detect(image)), "box")
"""


def test_text_detection_and_an_encoder_write_nothing_at_home_and_ask_for_no_network(tmp_path):
    done = run_offline(tmp_path, "-c", DETECT)
    assert done.code == 0 and done.output.endswith("1 box\n"), done.output
    assert not done.home and not done.attempts


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_no_library_below_python_connects_during_text_detection(tmp_path):
    """With a network, so that a library that looks whether there is one would try."""
    trace = tmp_path / "trace.txt"
    done = subprocess.run(["strace", "-f", "-e", "trace=connect,sendto,sendmsg", "-o", trace, sys.executable, "-c",
                           DETECT], cwd=ROOT, capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert "exited with 0" in trace.read_text()
    assert [line for line in trace.read_text().splitlines() if "AF_INET" in line] == []


def test_a_ray_cluster_is_started_without_usage_statistics(monkeypatch):
    ray = pytest.importorskip("ray")
    from ray._common.usage.usage_lib import usage_stats_enabled

    asked = []

    def start(*_, **__):
        asked.append(usage_stats_enabled())
        raise ConnectionError("none here")

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(UserError, match="no Ray cluster"):
        run_stage("audio", len, [("a", ("",))], pool=Pool(ray_address="local"))
    assert asked == [False]


def test_imagenet_weights_that_cannot_be_downloaded_are_one_message(shared_processed, tiny_preset, tmp_path):
    preset = tmp_path / "imagenet.yaml"
    preset.write_text(tiny_preset.read_text(encoding="utf-8").replace("none", "imagenet")
                      .replace("  frame_channels: [4, 8]\n", ""), encoding="utf-8")
    done = run_offline(tmp_path, "avt_main.py", "--preset", preset, "--data_root", shared_processed,
                       "--save_prefix", tmp_path / "run")
    assert done.code == 2 and "Traceback" not in done.output
    message = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert len(message) == 1 and "cannot be downloaded" in message[0] and "--pretrained none" in message[0]


def answering(content: bytes | None):
    """The address of a server on this machine that answers every request with these bytes; None: never."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        kept = []
        with contextlib.suppress(OSError):      # closed
            while True:
                kept.append(server.accept()[0])
                if content is not None:
                    kept.pop().sendall(content)

    threading.Thread(target=serve, daemon=True).start()
    return server, f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("content", [None, b"", b"I am the hotel's network.\r\n\r\n",
                                     b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\ncut", b"HTTP/1.1 404 no\r\n\r\n"])
def test_a_server_that_is_silent_or_answers_nonsense_ends_a_download_with_one_message(tmp_path, monkeypatch, content):
    server, address = answering(content)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: urllib.request.urlopen(address))
    with server, pytest.raises(UserError, match="cannot be downloaded, .* or start untrained with --pretrained none"):
        load_pretrained(resnet18(), "imagenet")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut off"])
def test_a_damaged_file_in_torchs_cache_is_one_message(tmp_path, monkeypatch, content):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/resnet18-f37072fd.pth").write_bytes(content)
    with pytest.raises(UserError, match=f"their file below {tmp_path / 'hub'} is damaged .* Remove that file"):
        load_pretrained(resnet18(), "imagenet")


def test_the_guard_of_these_tests_keeps_a_command_from_the_network(tmp_path):
    done = run_offline(tmp_path, "-c", "import urllib.request; urllib.request.urlopen('http://192.0.2.1', timeout=5)")
    assert done.code == 1 and "Network is unreachable" in done.output and "socket." in done.attempts


@pytest.mark.skipif(not own_network(), reason="this machine permits no network namespaces")
def test_a_command_in_these_tests_has_no_network_below_python_either(tmp_path):
    done = run_offline(tmp_path, "-c", "print(open('/proc/net/dev').read())")
    names = [line.split(":")[0].strip() for line in done.output.splitlines() if ":" in line]
    assert done.code == 0 and names == ["lo"]
