"""Forest Covertype: which file is read, what is made of it, and what is said of each fault."""

from __future__ import annotations

import gc
import gzip
import hashlib
import http.server
import importlib.util
import os
import shutil
import socket
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets._covtype as sklearn_covtype
from sklearn.preprocessing import StandardScaler

from experiments.datasets import covertype, load
from experiments.datasets.covertype import FILE
from experiments.datasets.dataset import standard_of
from experiments.errors import InputError

needs_covertype = pytest.mark.skipif(
    not os.environ.get("NNCOMPARE_DATA"), reason="NNCOMPARE_DATA is not set"
)


def rows(seed=0, count=70):
    """A table in Covertype's layout: 54 integers and a class from 1 to 7."""
    draw = np.random.default_rng(seed)
    features = draw.integers(-200, 7200, (count, 54))
    features[:, 20] = 0  # as some soils are in the original
    features[:, 21] = 1
    return np.column_stack([features, draw.permutation(np.arange(count) % 7) + 1])


def encode(values, end="\n"):
    return "".join(",".join(map(str, row)) + end for row in np.asarray(values).tolist()).encode()


def write(folder, content=None, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    content = encode(rows()) if content is None else content
    path = folder / (f"{FILE}.gz" if packed else FILE)
    path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def sentence_for(data_dir):
    with pytest.raises(InputError) as caught:
        load("covertype", data_dir)
    sentence = str(caught.value)
    assert "expected" in sentence
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def taken_for_covertype(monkeypatch):
    """Let the small table pass for the original."""
    monkeypatch.setitem(covertype.DIGESTS, FILE, hashlib.md5(encode(rows())).hexdigest())
    values = rows().astype("<i2").tobytes()
    monkeypatch.setattr(covertype, "VALUES_DIGEST", hashlib.md5(values).hexdigest())


@pytest.mark.parametrize("packed", [True, False], ids=["gzipped", "plain"])
@pytest.mark.parametrize("inside", [".", "covertype"], ids=["itself", "subfolder"])
def test_reads_other_data_and_says_that_it_is_other(tmp_path, packed, inside):
    write(tmp_path / "woods" / inside, packed=packed)
    data = load("covertype", tmp_path / "woods")

    assert data.name == "covertype"
    assert data.title == (
        "rows of classes 1 and 2 from woods (not Forest Covertype: another digest)"
    )
    assert data.class_names == ("class 1", "class 2")
    assert "not Forest Covertype" in data.source
    assert "Blackard" not in data.licence
    assert data.digests == {FILE: hashlib.md5(encode(rows())).hexdigest()}

    kept = rows()[rows()[:, -1] <= 2]
    assert data.train.inputs.dtype == np.float32
    assert data.train.inputs.flags.c_contiguous
    assert data.train.inputs.flags.writeable
    assert data.train.targets.dtype == np.int64
    np.testing.assert_array_equal(data.train.targets, kept[:, -1] - 1)
    # Independent: scikit-learn's own, in float64, rounded to float32 (half a unit of roundoff).
    expected = StandardScaler().fit_transform(kept[:, :54].astype(float))
    np.testing.assert_allclose(data.train.inputs, expected, rtol=2.0**-23, atol=1e-12)
    assert (data.train.inputs[:, 20:22] == 0).all()

    assert len(data.test) == 0
    assert data.test.inputs.shape == (0, 54)
    assert data.test.inputs.dtype == np.float32
    assert data.test.targets.shape == (0,)
    assert data.test.targets.dtype == np.int64


def test_covertype_is_known_by_its_digest(tmp_path, taken_for_covertype):
    data = load("covertype", write(tmp_path / "woods"))
    assert data.title == "Forest Covertype, classes 1 and 2"
    assert data.source == f"the folder {tmp_path / 'woods'}"
    assert data.class_names == ("Spruce/Fir", "Lodgepole Pine")
    assert "CC BY 4.0" in data.licence


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_ends_of_lines_do_not_matter(tmp_path, end):
    same = load("covertype", write(tmp_path / "a", encode(rows(), end).removesuffix(end.encode())))
    expected = load("covertype", write(tmp_path / "b"))
    np.testing.assert_array_equal(same.train.inputs, expected.train.inputs)
    np.testing.assert_array_equal(same.train.targets, expected.train.targets)


def test_a_folder_s_own_file_comes_before_its_subfolder(tmp_path):
    write(tmp_path, encode(rows(1)))
    write(tmp_path / "covertype", encode(rows(2)))
    read = load("covertype", tmp_path).train.targets
    np.testing.assert_array_equal(read, rows(1)[rows(1)[:, -1] <= 2][:, -1] - 1)


def test_lines_are_counted_across_blocks(tmp_path, monkeypatch):
    """Content that is read in several pieces, as the original is."""
    monkeypatch.setattr(covertype, "_BLOCK_BYTES", 600)
    whole = load("covertype", write(tmp_path / "good"))
    monkeypatch.undo()
    np.testing.assert_array_equal(
        whole.train.inputs, load("covertype", tmp_path / "good").train.inputs
    )
    monkeypatch.setattr(covertype, "_BLOCK_BYTES", 600)
    content = encode(rows()).split(b"\n")
    content[41] = content[41].replace(b",", b",x", 1)
    write(tmp_path / "bad", b"\n".join(content))
    assert "in line 42" in sentence_for(tmp_path / "bad")


def test_a_line_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(covertype, "_BLOCK_BYTES", 50)
    assert "not Covertype's table" in sentence_for(write(tmp_path))


def test_missing_folder(tmp_path):
    sentence = sentence_for(tmp_path / "nowhere")
    assert "nowhere does not exist" in sentence
    assert FILE in sentence


def test_path_is_a_file(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"")
    assert "data.zip is a file: expected a folder" in sentence_for(tmp_path / "data.zip")


def test_folder_without_the_file(tmp_path):
    sentence = sentence_for(tmp_path)
    assert f"lacks {FILE}" in sentence
    assert str(tmp_path) in sentence


def test_the_folder_of_mnist_is_not_replaced_by_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr(covertype, "_fetch", lambda *_: pytest.fail("it was downloaded"))
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("NNCOMPARE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"\(from \$NNCOMPARE_DATA\) lacks covtype.data"):
        load("covertype")


def test_permission_denied(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.exists", refuse)
    with pytest.raises(InputError, match="data could not be read: Permission denied"):
        load("covertype", tmp_path / "data")


def test_a_file_that_is_a_folder(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(
        InputError, match=r"covtype.data could not be read: expected a regular file, found a folder"
    ):
        load("covertype", tmp_path)


def test_truncated_gzip(tmp_path):
    path = write(tmp_path) / f"{FILE}.gz"
    path.write_bytes(path.read_bytes()[:-200])
    assert f"{FILE}.gz is cut off" in sentence_for(tmp_path)


def test_damaged_gzip(tmp_path):
    path = write(tmp_path) / f"{FILE}.gz"
    content = bytearray(path.read_bytes())
    content[300:320] = bytes(20)
    path.write_bytes(content)
    assert "damaged" in sentence_for(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_web_page_in_its_place(tmp_path, packed):
    page = b"<!DOCTYPE html>\n<html>Please log in \xe2\x80\xa6 caf\xe9</html>\n"
    sentence = sentence_for(write(tmp_path, page, packed))
    assert "is not Covertype's table" in sentence
    assert "found 1 in line 1 ('<!DOCTYPE html>')" in sentence


def test_mnist_in_its_place(tmp_path):
    assert "is not Covertype's table" in sentence_for(write(tmp_path, bytes(range(256)) * 40))


def changed(line, change):
    content = encode(rows()).split(b"\n")
    content[line] = change(content[line])
    return b"\n".join(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r[: r.rindex(b",")], "found 54 in line 5"),
        (lambda r: r + b",3", "found 56 in line 5"),
        (lambda r: b"", "found 0 in line 5"),
        (lambda r: b" \t", "found 0 in line 5"),
        (lambda r: r.replace(b",", b";", 1), "found 54 in line 5"),
        (lambda r: b"Elevation" + r[r.index(b",") :], "found 'Elevation' in line 5"),
        (lambda r: b"1.5" + r[r.index(b",") :], "found '1.5' in line 5"),
        (lambda r: b"" + r[r.index(b",") :], "found '' in line 5"),
        (lambda r: b"1 2" + r[r.index(b",") :], "found '1 2' in line 5"),
        (lambda r: b"40000" + r[r.index(b",") :], "found '40000' in line 5"),
        (lambda r: b"9" * 30 + r[r.index(b",") :], f"found '{'9' * 30}' in line 5"),
        (lambda r: r[: r.rindex(b",")] + b",8", "expected 1 to 7 as the last of 55 integers"),
        (lambda r: r[: r.rindex(b",")] + b",0", "found 0 (line 5)"),
    ],
)
def test_a_line_at_fault(tmp_path, change, said):
    sentence = sentence_for(write(tmp_path, changed(4, change)))
    assert FILE in sentence
    assert said in sentence


def test_two_lines_that_make_up_for_each_other(tmp_path):
    """One integer too few, then one too many: the count of all is right."""
    content = encode(rows()).split(b"\n")
    content[3], content[4] = content[3][: content[3].rindex(b",")], content[4] + b",1"
    assert "found 54 in line 4" in sentence_for(write(tmp_path, b"\n".join(content)))


def test_a_file_cut_off_within_a_line(tmp_path):
    assert "in line 70" in sentence_for(write(tmp_path, encode(rows())[:-9]))


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_empty(tmp_path, content):
    assert "is empty: expected lines of 55 integers" in sentence_for(write(tmp_path, content))


@pytest.mark.parametrize("k", [1, 2])
def test_a_class_that_is_not_there(tmp_path, k):
    values = rows()[rows()[:, -1] != k]
    assert f"found none of class {k}" in sentence_for(write(tmp_path, encode(values)))


@pytest.mark.parametrize("constant", [0.0, 1.0, -7.3, 0.1, 1e8 + 0.1])
def test_standardised_as_scikit_learn_does(constant):
    draw = np.random.default_rng(3)
    table = draw.normal(5, 3, (400, 4)) * [1, 1e-6, 1e6, 1]
    table[:, 3] = constant
    found = standard_of(table)
    expected = StandardScaler().fit(table)
    np.testing.assert_allclose(found.mean, expected.mean_, rtol=1e-13)
    np.testing.assert_allclose(found.scale, expected.scale_, rtol=1e-12)
    assert found.scale[3] == 1
    assert np.abs(found.apply(table)[:, 3]).max() < 1e-7


def test_one_row_is_constant():
    assert standard_of(np.array([[3, -4]], np.int16)).apply(np.array([[3, -4]])).tolist() == [
        [0, 0]
    ]


class Archive:
    """What scikit-learn downloads, on loopback; ``status`` is what the server answers."""

    def __init__(self, content, status=200):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if status != 200:
                    self.send_error(status)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/covtype"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def archive(monkeypatch):
    """Let scikit-learn download from loopback, in the place of its own address."""
    monkeypatch.delenv("NNCOMPARE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = []

    def start(content=None, status=200, checksum=None):
        content = gzip.compress(encode(rows())) if content is None else content
        running.append(Archive(content, status))
        remote = sklearn_covtype.ARCHIVE._replace(
            url=running[-1].url, checksum=checksum or hashlib.sha256(content).hexdigest()
        )
        monkeypatch.setattr(sklearn_covtype, "ARCHIVE", remote)
        return running[-1]

    yield start
    for server in running:
        server.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # scikit-learn does not close the answers that it tries again after


def download_fault(cache):
    with pytest.raises(InputError) as caught:
        load("covertype", cache_dir=cache)
    assert "\n" not in str(caught.value)
    assert "--data-dir" in str(caught.value)
    return str(caught.value)


def test_download(archive, tmp_path, taken_for_covertype):
    archive()
    data = load("covertype", cache_dir=tmp_path / "cache")
    assert data.title == "Forest Covertype, classes 1 and 2"
    assert "fetch_covtype" in data.source
    assert str(tmp_path) not in data.source
    from_file = load("covertype", write(tmp_path / "woods"))
    np.testing.assert_array_equal(data.train.inputs, from_file.train.inputs)
    np.testing.assert_array_equal(data.train.targets, from_file.train.targets)
    assert data.digests == from_file.digests


def test_a_download_is_made_once(archive, tmp_path, taken_for_covertype):
    archive()
    load("covertype", cache_dir=tmp_path / "cache")
    archive(status=500)
    assert len(load("covertype", cache_dir=tmp_path / "cache").train) == 20


def test_download_of_something_else(archive, tmp_path):
    archive()
    assert "holds other values: expected MD5" in download_fault(tmp_path / "cache")


def test_download_of_fractions(archive, tmp_path, taken_for_covertype):
    content = encode(rows()).replace(b",1,", b",1.25,", 1)
    archive(gzip.compress(content))
    assert "holds other values" in download_fault(tmp_path / "cache")


@pytest.mark.parametrize("status", [404, 500])
def test_download_refused(archive, tmp_path, status):
    archive(status=status)
    assert "could not be downloaded" in download_fault(tmp_path / "cache")


def test_download_with_another_checksum(archive, tmp_path):
    archive(checksum="0" * 64)
    assert "could not be downloaded" in download_fault(tmp_path / "cache")


def test_nobody_answers(archive, tmp_path, monkeypatch):
    archive()
    with socket.socket() as held:  # its port is held, and nobody listens
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/covtype"
        remote = sklearn_covtype.ARCHIVE._replace(url=url)
        monkeypatch.setattr(sklearn_covtype, "ARCHIVE", remote)
        assert "could not be downloaded" in download_fault(tmp_path / "cache")


def test_a_damaged_copy_in_the_cache(archive, tmp_path, taken_for_covertype):
    archive()
    load("covertype", cache_dir=tmp_path / "cache")
    for path in (tmp_path / "cache" / "covertype").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in download_fault(tmp_path / "cache")


def test_mirrors_are_refused_rather_than_ignored(archive, tmp_path):
    with pytest.raises(InputError, match=r"expected no mirrors, found http://127.0.0.1:9/"):
        load("covertype", cache_dir=tmp_path, mirrors=["http://127.0.0.1:9/"])


def test_a_sample_of_the_package():
    data = load("covertype-sample")
    assert data.name == "covertype-sample"
    assert "sample of Forest Covertype" in data.title
    assert np.bincount(data.train.targets).tolist() == [2567, 3433]
    assert data.train.inputs.shape == (6000, 54)
    assert data.train.inputs.dtype == np.float32
    assert len(data.test) == 0
    assert data.test.inputs.shape == (0, 54)
    assert data.class_names == ("Spruce/Fir", "Lodgepole Pine")
    assert "CC BY 4.0" in data.licence
    assert data.digests == covertype.SAMPLE_DIGESTS
    mean = data.train.inputs.astype(np.float64).mean(axis=0)
    spread = data.train.inputs.astype(np.float64).std(axis=0)
    assert np.abs(mean).max() < 1e-6
    assert set(np.round(spread, 5)) == {0.0, 1.0}


def test_the_sample_has_the_shares_of_the_whole():
    shares = np.array([211840, 283301]) / 495141
    wanted = np.array(list(covertype.SAMPLE_ROWS.values()))
    assert np.abs(wanted / wanted.sum() - shares).max() < 1 / wanted.sum()


def test_the_sample_is_small_and_says_where_it_is_from():
    folder = covertype.SAMPLE_FOLDER
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"`{covertype.SAMPLE_DIGESTS[FILE]}`" in text
    assert "Creative Commons Attribution 4.0 International" in text
    assert "Jock A. Blackard" in text


def test_the_variable_has_no_part_in_the_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(tmp_path / "nowhere"))
    assert len(load("covertype-sample").train) == 6000


def test_a_folder_for_the_sample_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected no data folder with it, found .*some"):
        load("covertype-sample", tmp_path / "some")


def test_a_damaged_package_is_noticed(tmp_path, monkeypatch):
    folder = shutil.copytree(covertype.SAMPLE_FOLDER, tmp_path / "sample")
    content = gzip.decompress((folder / f"{FILE}.gz").read_bytes())
    (folder / f"{FILE}.gz").write_bytes(content.replace(b"1\n", b"2\n", 1))
    monkeypatch.setattr(covertype, "SAMPLE_FOLDER", folder)
    with pytest.raises(InputError, match=r"is damaged: expected .* install the package again"):
        load("covertype-sample")


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / "scripts" / "make_covertype_sample.py"
    spec = importlib.util.spec_from_file_location("make_covertype_sample", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_spread_evenly(script):
    assert script.spread(10, 5).tolist() == [1, 3, 5, 7, 9]
    assert script.spread(3, 3).tolist() == [0, 1, 2]
    gaps = np.diff(script.spread(211840, 2567))
    assert gaps.max() - gaps.min() <= 1


def test_the_script_refuses_what_is_not_covertype(script, tmp_path, capsys):
    out = tmp_path / "out"
    assert script.main([str(covertype.SAMPLE_FOLDER), "--out", str(out)]) == 2
    assert "does not hold Forest Covertype" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
@needs_covertype
def test_the_sample_made_again_from_the_original(script, tmp_path, capsys):
    for out in ["once", "twice"]:
        assert script.main([os.environ["NNCOMPARE_DATA"], "--out", str(tmp_path / out)]) == 0
    assert covertype.SAMPLE_DIGESTS[FILE] in capsys.readouterr().out
    once = (tmp_path / "once" / f"{FILE}.gz").read_bytes()
    assert once == (tmp_path / "twice" / f"{FILE}.gz").read_bytes()
    stored = (covertype.SAMPLE_FOLDER / f"{FILE}.gz").read_bytes()
    assert gzip.decompress(once) == gzip.decompress(stored)


@pytest.mark.slow
@needs_covertype
def test_covertype_itself():
    """Against the published counts, and the sample's lines against the original's."""
    data = load("covertype")
    assert data.title == "Forest Covertype, classes 1 and 2"
    assert data.digests == covertype.DIGESTS
    assert data.train.inputs.shape == (495141, 54)
    assert np.bincount(data.train.targets).tolist() == [211840, 283301]
    assert len(data.test) == 0
    assert np.isfinite(data.train.inputs).all()
    whole = covertype.read_table(Path(os.environ["NNCOMPARE_DATA"]))
    constant = np.ptp(whole.features[whole.classes <= 2], axis=0) == 0
    assert constant.sum() == 5  # soils that neither of the two classes grows on
    for k in range(54):
        feature = data.train.inputs[:, k].astype(np.float64)
        assert abs(feature.mean()) < 1e-6
        assert feature.std() == pytest.approx(0 if constant[k] else 1, abs=1e-6)
    # Published: 581,012 rows, the third class 35,754, and so on.
    counts = [211840, 283301, 35754, 2747, 9493, 17367, 20510]
    assert np.bincount(whole.classes, minlength=8)[1:].tolist() == counts
    values = np.column_stack([whole.features, whole.classes]).astype("<i2")
    assert hashlib.md5(values.tobytes()).hexdigest() == covertype.VALUES_DIGEST
    sample = gzip.decompress((covertype.SAMPLE_FOLDER / f"{FILE}.gz").read_bytes())
    path = covertype._locate(Path(os.environ["NNCOMPARE_DATA"]), "")
    original = set(gzip.decompress(path.read_bytes()).split(b"\n"))
    assert set(sample.split(b"\n")) <= original
