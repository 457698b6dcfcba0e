"""The whole way from an image to its result as ncnn runs it."""

import ncnn
import numpy as np
import pytest
import torch

from pictures import smooth, write_random_model, write_refining_model
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange import ncnn as module
from sr3.exchange.ncnn import export_ncnn, weights_path
from sr3.exchange.whole import WholeWay

pytestmark = pytest.mark.slow
SIDE = 19
ONE_STEP = ("sampling.sampler=ddim", "sampling.eta=0", "sampling.steps=1")
LEVEL = 1 / 255


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "mine.safetensors", settings=ONE_STEP)


def by_ncnn(path, low_res):
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.use_fp16_arithmetic = False
    assert network.load_param(str(path)) == 0
    assert network.load_model(str(weights_path(path))) == 0
    extractor = network.create_extractor()
    extractor.input("in0", ncnn.Mat(low_res).clone())
    return np.array(extractor.extract("out0")[1])


@pytest.mark.parametrize("kind", ["alone", "on a mean"])
def test_ncnn_gives_what_torch_gives(tmp_path, model, kind, capsys):
    if kind == "on a mean":
        start = ("sampling.start=mean", "sampling.gamma_first=0.5", "sampling.flat_detail=0.5")
        model = write_refining_model(tmp_path / "refining.safetensors", *ONE_STEP, *start)
    out = tmp_path / "mine.param"
    assert run(["export", "--ncnn", str(model), str(out), "--side", str(SIDE)]) == 0
    assert f"inputs in0; the weights in {tmp_path / 'mine.bin'}" in capsys.readouterr().out
    low_res = np.ascontiguousarray(smooth(SIDE, SIDE).transpose(2, 0, 1), dtype=np.float32) / 255
    with torch.no_grad():
        expected = WholeWay(read_model(model), SIDE).eval()(torch.from_numpy(low_res)[None])[0]
    found = by_ncnn(out, low_res)
    assert found.shape == (3, 4 * SIDE, 4 * SIDE)
    assert np.abs(found - expected.numpy()).max() < LEVEL / 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".param", ".bin"}, "nothing else is left"


def test_files_that_are_there_and_other_names_are_refused(tmp_path, model, capsys):
    (tmp_path / "mine.bin").write_bytes(b"kept")
    assert run(["export", "--ncnn", str(model), str(tmp_path / "mine.param")]) == 2
    assert "mine.bin: exists; replace it with --overwrite" in capsys.readouterr().err
    assert run(["export", "--ncnn", str(model), str(tmp_path / "mine.onnx")]) == 2
    assert "a graph for ncnn needs the suffix .param" in capsys.readouterr().err
    assert (tmp_path / "mine.bin").read_bytes() == b"kept"


@pytest.fixture
def converted(monkeypatch):
    """pnnx is only pretended, for its time."""

    def write(_way, _inputs, folder, *, half):
        for name in (module._PARAM, module._BIN):
            (folder / name).write_bytes(f"{half}".encode())

    monkeypatch.setattr(module, "_convert", write)


@pytest.mark.usefixtures("converted")
def test_what_ncnn_computes_otherwise_is_not_kept(tmp_path, model, monkeypatch):
    monkeypatch.setattr(module, "_difference", lambda *_: 0.25)
    with pytest.raises(CheckpointError, match=r"ncnn differs from torch by 0\.25"):
        export_ncnn(str(model), tmp_path / "mine.param", side=SIDE)
    assert not (tmp_path / "mine.param").exists()


@pytest.mark.usefixtures("converted")
def test_weights_stay_float32_where_float16_loses_half_a_level(tmp_path, model, monkeypatch):
    differences = iter([0.003, 0.0001])
    monkeypatch.setattr(module, "_difference", lambda *_: next(differences))
    assert export_ncnn(str(model), tmp_path / "mine.param", side=SIDE).differences == {(1, SIDE, SIDE): 0.0001}
    assert (tmp_path / "mine.bin").read_bytes() == b"False"


@pytest.mark.usefixtures("converted")
def test_a_graph_that_ends_the_process_of_ncnn_is_not_kept(tmp_path, model, monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(CheckpointError, match="mine: ncnn cannot run the graph; upgrade ncnn and pnnx"):
        export_ncnn(str(model), tmp_path / "mine.param", side=SIDE)
    assert not list(tmp_path.glob("mine.[pb]*"))


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path, model, monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"--ncnn needs ncnn and pnnx, .* pip install 'sr3\[ncnn\]'"):
        export_ncnn(str(model), tmp_path / "mine.param", side=SIDE)


def test_a_converter_that_fails_is_quoted(tmp_path, model, monkeypatch):
    program = tmp_path / "pnnx"
    program.write_text("#!/bin/sh\necho no such operation >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("pnnx.EXEC_PATH", str(program))
    with pytest.raises(CheckpointError, match=r"pnnx could not convert the model \(no such operation\); upgrade pnnx"):
        export_ncnn(str(model), tmp_path / "mine.param", side=SIDE)
