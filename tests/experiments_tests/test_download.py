"""Downloads, from servers on loopback that behave and that misbehave."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import os
import socket
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from experiments.datasets import download as download_module
from experiments.datasets import load, mnist
from experiments.datasets.download import download
from experiments.datasets.idx import FILES
from experiments.errors import InputError

CONTENTS = {
    "first-file": bytes(range(256)) * 40,
    "second-file": b"labels" * 50,
}
DIGESTS = {name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()}


class Mirror:
    """A server of a few files; ``broken`` names the way in which it fails, if any."""

    def __init__(self, contents, broken=None):
        self.requests = Counter()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1].removesuffix(".gz")
                mirror.requests[name] += 1
                if name not in contents or broken == "missing":
                    self.send_error(404)
                    return
                body = gzip.compress(contents[name])
                promised = len(body)
                if broken == "other content":
                    body = gzip.compress(contents[name][::-1] + b"!")
                    promised = len(body)
                elif broken == "cut off":
                    body = body[: len(body) // 2]
                elif broken == "cut off, length unknown":
                    body, promised = body[: len(body) // 2], None
                elif broken == "web page":
                    body = b"<html>Please log in</html>"
                    promised = len(body)
                elif broken == "silent":
                    mirror.stop.wait(10)
                    return
                elif broken == "redirects":
                    self.send_response(302)
                    self.send_header("Location", self.path)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                elif broken == "unpacked":
                    body = contents[name]
                    promised = len(body)
                self.send_response(200)
                if promised is not None:
                    self.send_header("Content-Length", str(promised))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.stop = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/data/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def serve(monkeypatch):
    """Start mirrors that stop with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirrors = []

    def start(broken=None, contents=CONTENTS):
        mirrors.append(Mirror(contents, broken))
        return mirrors[-1]

    yield start
    for mirror in mirrors:
        mirror.close()


@pytest.fixture
def nobody(monkeypatch):
    """The URL of a server that is down: its port is held, and nobody listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/data/"


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_success(serve, tmp_path, capfd, caplog):
    caplog.set_level(logging.INFO)
    mirror, spare = serve(), serve()
    download(DIGESTS, tmp_path / "cache" / "deep", [mirror.url, spare.url])
    assert files_in(tmp_path / "cache" / "deep") == CONTENTS
    assert mirror.requests == {"first-file": 1, "second-file": 1}
    assert not spare.requests
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name == "pooch"], "pooch is quiet"


def test_a_mirror_s_url_may_lack_its_last_slash(serve, tmp_path):
    download(DIGESTS, tmp_path, [serve().url.rstrip("/")])
    assert files_in(tmp_path) == CONTENTS


def test_a_mirror_may_serve_the_content_unpacked(serve, tmp_path):
    download(DIGESTS, tmp_path, [serve("unpacked").url])
    assert files_in(tmp_path) == CONTENTS


def test_cached_the_second_time(serve, tmp_path):
    mirror = serve()
    download(DIGESTS, tmp_path, [mirror.url])
    mirror.close()
    download(DIGESTS, tmp_path, [mirror.url])
    assert mirror.requests.total() == 2
    assert files_in(tmp_path) == CONTENTS


@pytest.mark.parametrize("damage", [b"", b"half", CONTENTS["first-file"] + b"\0"])
def test_a_damaged_cache_is_fetched_again(serve, tmp_path, damage):
    mirror = serve()
    download(DIGESTS, tmp_path, [mirror.url])
    (tmp_path / "first-file").write_bytes(damage)
    download(DIGESTS, tmp_path, [mirror.url])
    assert mirror.requests == {"first-file": 2, "second-file": 1}
    assert files_in(tmp_path) == CONTENTS


FAILURES = {
    "missing": "answered 404",
    "other content": "wrong content: expected MD5 ",
    "cut off": "cut off",
    "cut off, length unknown": "cut off",
    "web page": "wrong content: expected MD5 ",
    "silent": "no answer within",
    "redirects": "Exceeded 30 redirects",
}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(download_module, "_TIMEOUT_S", 0.2)


@pytest.mark.parametrize("broken", FAILURES)
def test_the_second_mirror_steps_in(serve, tmp_path, broken, request):
    if broken == "silent":
        request.getfixturevalue("impatient")
    bad, good = serve(broken), serve()
    download(DIGESTS, tmp_path, [bad.url, good.url])
    assert files_in(tmp_path) == CONTENTS
    assert set(bad.requests) == set(CONTENTS)
    assert good.requests.total() == 2


@pytest.mark.parametrize("broken", FAILURES)
def test_all_mirrors_fail(serve, tmp_path, broken, request):
    if broken == "silent":
        request.getfixturevalue("impatient")
    mirrors = [serve(broken).url, serve(broken).url]
    with pytest.raises(InputError) as caught:
        download(DIGESTS, tmp_path, mirrors, title="The digits")
    sentence = str(caught.value)
    assert sentence.startswith("The digits could not be downloaded")
    assert sentence.count(FAILURES[broken]) == 2
    assert all(url in sentence for url in mirrors)
    assert all(name in sentence for name in DIGESTS)
    assert "--data-dir" in sentence
    assert "\n" not in sentence
    assert files_in(tmp_path) == {}, "nothing half-written stays"


def test_wrong_content_says_what_was_found(serve, tmp_path):
    with pytest.raises(InputError) as caught:
        download(DIGESTS, tmp_path, [serve("other content").url])
    found = hashlib.md5(CONTENTS["first-file"][::-1] + b"!").hexdigest()
    assert f"expected MD5 {DIGESTS['first-file']}, found {found}" in str(caught.value)


def test_mirror_down(serve, nobody, tmp_path):
    download(DIGESTS, tmp_path, [nobody, serve().url])
    assert files_in(tmp_path) == CONTENTS


def test_all_mirrors_down(nobody, tmp_path):
    with pytest.raises(InputError) as caught:
        download(DIGESTS, tmp_path, [nobody])
    assert f"{nobody} (the connection failed)" in str(caught.value)
    assert files_in(tmp_path) == {}


def test_each_file_s_failure_names_that_file(serve, tmp_path):
    mirror = serve(contents={"first-file": CONTENTS["first-file"]})
    with pytest.raises(InputError, match=r"expected second-file\.gz from a mirror"):
        download(DIGESTS, tmp_path, [mirror.url])
    # What came whole is kept.
    assert files_in(tmp_path) == {"first-file": CONTENTS["first-file"]}


def test_a_damaged_cache_is_not_used_when_no_mirror_answers(nobody, tmp_path):
    (tmp_path / "first-file").write_bytes(b"half")
    with pytest.raises(InputError, match="could not be downloaded"):
        download(DIGESTS, tmp_path, [nobody])


def test_a_url_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"mirror\.example/"):
        download(DIGESTS, tmp_path, ["mirror.example/"])


def test_the_cache_is_a_file(serve, tmp_path):
    (tmp_path / "cache").write_bytes(b"")
    mirror = serve()
    with pytest.raises(InputError, match="cache could not be used: "):
        download(DIGESTS, tmp_path / "cache", [mirror.url])
    assert (tmp_path / "cache").read_bytes() == b""


def test_the_disk_is_full(serve, tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(InputError, match="could not be used: No space left on device"):
        download(DIGESTS, tmp_path, [serve().url])
    assert files_in(tmp_path) == {}


class Answering:
    """A server on loopback that answers every request with a function of its handler."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(OSError):
                    answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/data/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def answering(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer):
        servers.append(Answering(answer))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


def refusal(url, folder):
    with pytest.raises(InputError) as caught:
        download(DIGESTS, folder, [url])
    assert "\n" not in str(caught.value)
    assert files_in(folder) == {}
    return str(caught.value)


@pytest.mark.parametrize(
    ("location", "scheme"),
    [("file:///etc/passwd", "file"), ("ftp://127.0.0.1/x", "ftp"), ("data:,x", "data")],
)
def test_no_redirect_to_another_scheme(answering, tmp_path, location, scheme):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    assert f"redirects from http to {scheme}" in refusal(answering(redirect), tmp_path)


def test_no_redirect_from_https_to_http():
    redirected = download_module._redirected
    with pytest.raises(download_module._MirrorError, match="from https to http"):
        redirected("https://a.example/x", "http://a.example/x")
    with pytest.raises(download_module._MirrorError, match="from https to http"):
        redirected("https://a.example/x", "HTTP://b.example/x")
    assert redirected("http://a.example/x", "https://a.example/x") == "https://a.example/x"
    assert redirected("https://a.example/x/y", "../z") == "https://a.example/z"
    assert redirected("https://a.example/x", "//b.example/z") == "https://b.example/z"


def test_a_body_without_end(answering, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "MOST_BYTES", 1 << 20)

    def pour(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    said = refusal(answering(pour), tmp_path)
    assert "the answer is too large: expected at most 1,048,576 bytes" in said


def test_an_answer_that_unpacks_without_end(answering, tmp_path):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    body = b"".join([*(packer.compress(bytes(1 << 24)) for _ in range(5)), packer.flush()])

    def serve_bomb(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    assert "the answer unpacks to too much" in refusal(answering(serve_bomb), tmp_path)


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_mirror_that_drips(answering, tmp_path, monkeypatch, part):
    monkeypatch.setattr(download_module, "_TOTAL_S", 0.5)

    def drip(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    before = time.monotonic()
    assert "no whole answer within 0.5 s" in refusal(answering(drip), tmp_path)
    assert time.monotonic() - before < 4


def test_what_stands_in_the_cache_and_is_no_file(serve, tmp_path):
    """A link is replaced and what it points to left alone; no pipe is waited for."""
    outside = tmp_path / "outside"
    outside.write_bytes(CONTENTS["first-file"])
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "first-file").symlink_to(outside)
    os.mkfifo(cache / "second-file")
    download(DIGESTS, cache, [serve().url])
    assert files_in(cache) == CONTENTS
    assert not (cache / "first-file").is_symlink()
    assert outside.read_bytes() == CONTENTS["first-file"]


def test_two_downloads_at_once(serve, tmp_path):
    mirror, failures = serve(), []

    def fetch():
        try:
            download(DIGESTS, tmp_path, [mirror.url])
            assert (tmp_path / "first-file").read_bytes() == CONTENTS["first-file"]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert files_in(tmp_path) == CONTENTS


def small_mnist():
    header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (10, 28, 28))
    labels = b"\0\0\x08\x01" + (10).to_bytes(4, "big") + bytes(range(10))
    images = {name: header + bytes([k]) * 7840 for k, name in enumerate(FILES)}
    return {name: labels if "labels" in name else images[name] for name in FILES}


def test_load_downloads_when_no_folder_is_named(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("NNCOMPARE_DATA", raising=False)
    for name, content in small_mnist().items():
        monkeypatch.setitem(mnist.DIGESTS, name, hashlib.md5(content).hexdigest())
    mirror = serve(contents=small_mnist())
    for _ in range(2):
        data = load("mnist", cache_dir=tmp_path, mirrors=[mirror.url])
    assert mirror.requests == dict.fromkeys(FILES, 1)
    assert data.title == "MNIST handwritten digits"
    assert data.digests == mnist.DIGESTS
    assert mirror.url in data.source
    assert len(data.test) == 10


def test_load_refuses_a_download_that_is_not_mnist(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("NNCOMPARE_DATA", raising=False)
    mirror = serve(contents=small_mnist())
    with pytest.raises(InputError, match="expected MD5 6bbc9ace898e44ae57da46a324031adb"):
        load("mnist", cache_dir=tmp_path, mirrors=[mirror.url])
    assert files_in(tmp_path / "mnist") == {}
