"""Scenes in windows: the grid, what is kept, no data, value range, and no seam."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pictures import smooth, write_random_model, write_restoration
from seams import SEAM, standing_out, with_seam
from sr3.cli.app import run
from sr3.exchange.joining import join, read_parts
from sr3.images.scenes import open_scene
from sr3.networks.strength import StrengthNetwork
from sr3.sampling.placed_noise import PlacedNoise
from sr3.sampling.plan import as_plan, sampling_for
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.drawing import Request
from sr3.upscaling.jobs import upscale_files
from sr3.upscaling.naming import Job, Outputs
from sr3.upscaling.scene import scene_layout
from sr3.upscaling.value_range import parse_range

rasterio = pytest.importorskip("rasterio")
from rasterio.control import GroundControlPoint  # noqa: E402
from rasterio.rpc import RPC  # noqa: E402
from rasterio.transform import Affine  # noqa: E402

pytestmark = pytest.mark.slow

HIGH, WIDE = 140, 148  # more than one window of 128 a side
PLACE = Affine(10, 0, 300_000, 0, -10, 5_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("scenes")
    for channels in (1, 3):
        write_random_model(made / f"m{channels}.safetensors", image_channels=channels)
    return made


def write(path, array, **profile):
    profile = {"crs": "EPSG:32632", "transform": PLACE, **profile}
    bands, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=array.dtype, **profile
    ) as file:
        file.write(array)
    return path


def upscaled(folder, path, out, *options, bands=3):
    command = ["upscale", str(path), "-o", str(out), "--geo", "--model", str(folder / f"m{bands}.safetensors")]
    return run([*command, "--overwrite", "--steps", "1", *options])


def test_noise_of_a_place_is_the_same_in_every_window():
    whole = PlacedNoise([3], top=0, left=0, height=100)
    part = PlacedNoise([3], top=60, left=40, height=20)
    first = whole.draw((2, 400, 320))
    assert torch.equal(part.draw((2, 80, 40)), first[..., 240:320, 160:200])
    assert not torch.equal(whole.draw((2, 400, 320)), first)


def test_type_is_a_range():
    assert parse_range("type") == "type"


def test_the_grid_the_descriptions_and_the_holes_are_kept(folder, tmp_path):
    array = (smooth(24, 20).transpose(2, 0, 1) * 40).astype(np.uint16) + 1
    array[:, 3:5, 6:9] = 0
    source = write(tmp_path / "a.tif", array, nodata=0)
    with rasterio.open(source, "r+") as file:
        file.descriptions, file.scales, file.offsets = ("red", "green", "blue"), (1e-4,) * 3, (-0.1,) * 3
        file.units = ("reflectance",) * 3
        file.update_tags(MISSION="M")
        file.update_tags(2, WAVELENGTH="560", STATISTICS_MEAN="5")
        file.update_tags(ns="MISSION", SENSOR="S")
        file.update_tags(2, ns="MISSION", GAIN="2")
    assert upscaled(folder, source, tmp_path / "out", "--range", "1,12000") == 0
    with rasterio.open(source) as a, rasterio.open(tmp_path / "out" / "a.tif") as b:
        assert (b.crs, b.bounds, b.nodata, b.dtypes) == (a.crs, a.bounds, 0, a.dtypes)
        assert b.transform == Affine(2.5, 0, 300_000, 0, -2.5, 5_000_000)
        assert (b.descriptions, b.scales, b.offsets, b.units) == (a.descriptions, a.scales, a.offsets, a.units)
        assert b.colorinterp == a.colorinterp
        assert b.tags()["MISSION"] == "M"
        assert b.tags(2) == {"WAVELENGTH": "560"}
        assert (b.tags(ns="MISSION"), b.tags(2, ns="MISSION")) == ({"SENSOR": "S"}, {"GAIN": "2"})
        assert b.profile["tiled"]
        hole = np.kron(array == 0, np.ones((1, 4, 4))) > 0
        np.testing.assert_array_equal(b.read() == 0, hole)


def test_one_nan_stays_one_place_and_floats_need_a_range(folder, tmp_path, capsys):
    array = smooth(16, 16)[None, ..., 1].astype(np.float32) * 3
    source = write(tmp_path / "a.tif", array)
    array[0, 5, 6] = np.nan
    holed = write(tmp_path / "b.tif", array)
    assert upscaled(folder, source, tmp_path / "out", bands=1) == 2
    assert "--range auto" in capsys.readouterr().err
    for path in (source, holed):
        assert upscaled(folder, path, tmp_path / "out", "--range", "0,800", bands=1) == 0
    with rasterio.open(tmp_path / "out" / "b.tif") as file:
        found = file.read(1)
    assert np.isnan(found[20:24, 24:28]).all()
    assert np.isfinite(found).sum() == 64 * 64 - 16


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_mask_of_the_whole_scene_is_kept(folder, tmp_path, kind):
    seen = np.ones((40, 48), bool)
    seen[10:20, 12:30] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        source = write(tmp_path / "a.tif", (smooth(40, 48).transpose(2, 0, 1) / 255).astype(kind))
        with rasterio.open(source, "r+") as file:
            file.write_mask(seen)
    assert upscaled(folder, source, tmp_path / "out", "--range", "0,1") == 0
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert [flag.name for flag in file.mask_flag_enums[0]] == ["per_dataset"]
        assert np.array_equal(file.dataset_mask() > 0, seen.repeat(4, 0).repeat(4, 1))


def test_only_results_that_are_missing_are_written(folder, tmp_path):
    source = write(tmp_path / "a.tif", smooth(24, 32).transpose(2, 0, 1))
    command = ["upscale", str(source), "-o", str(tmp_path / "out"), "--geo", "--uncertainty", "--samples", "3"]
    command += ["--steps", "2", "--model", str(folder / "m3.safetensors")]
    assert run(command) == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(made) == 5
    own = tmp_path / "out" / "a-1.tif"
    for missing in (["a-2.tif"], ["a-3.tif", "a-mean.tif"], ["a-deviation.tif"]):
        own.write_bytes(b"mine")
        for name in missing:
            (tmp_path / "out" / name).unlink()
        assert run(command) == 0
        assert own.read_bytes() == b"mine"
        assert {name: (tmp_path / "out" / name).read_bytes() == made[name] for name in missing} == {
            name: True for name in missing
        }


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_and_rpcs_move_to_the_new_grid(folder, tmp_path):
    array = smooth(16, 12).transpose(2, 0, 1)
    source = write(tmp_path / "a.tif", array, crs=None, transform=Affine.identity())
    corners = [(0, 0), (0, 12), (16, 0), (16, 12)]
    with rasterio.open(source, "r+") as file:
        file.gcps = ([GroundControlPoint(r, c, 7 + c / 10, 50 - r / 10) for r, c in corners], "EPSG:4326")
    one = [1.0, *[0.0] * 19]
    write(tmp_path / "b.tif", array, crs=None, transform=Affine.identity())
    with rasterio.open(tmp_path / "b.tif", "r+") as file:
        file.rpcs = RPC(0, 500, 50, 0.1, one, one, 7.5, 8, 7, 0.1, one, one, 5.5, 6)
    assert upscaled(folder, source, tmp_path / "out") == 0
    assert upscaled(folder, tmp_path / "b.tif", tmp_path / "out") == 0
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        points, crs = file.gcps
        assert crs.to_epsg() == 4326
        assert [(p.row, p.col) for p in points] == [(4 * r, 4 * c) for r, c in corners]
    with rasterio.open(tmp_path / "out" / "b.tif") as file:
        found = file.rpcs
        # The middle of the scene stays the middle, counted from the middle of the first pixel.
        assert (found.line_off, found.samp_off, found.line_scale, found.samp_scale) == (31.5, 23.5, 32, 24)


def test_bands_one_by_one_mean_and_deviation(folder, tmp_path):
    array = smooth(12, 12).transpose(2, 0, 1)[[0, 1, 2, 1]]
    source = write(tmp_path / "a.tif", array, photometric="minisblack")
    assert upscaled(folder, source, tmp_path / "out", "--uncertainty", "--samples", "2", bands=1) == 0
    read = {}
    for word in ("1", "2", "mean", "deviation"):
        with rasterio.open(tmp_path / "out" / f"a-{word}.tif") as file:
            assert file.bounds == (300_000, 5_000_000 - 120, 300_120, 5_000_000)
            read[word] = file.read().astype(float)
    np.testing.assert_array_equal(read["1"][1], read["1"][3])
    pair = np.stack([read["1"], read["2"]])
    assert np.abs(pair.mean(0) - read["mean"]).max() <= 1
    assert np.abs(pair.std(0, ddof=1) - read["deviation"]).max() <= 1
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_what_is_not_enlarged_is_refused_in_a_line(folder, tmp_path, capsys):
    source = write(tmp_path / "a.tif", smooth(12, 12).transpose(2, 0, 1)[:2])
    assert upscaled(folder, source, tmp_path / "out") == 2
    assert "has 2 bands" in capsys.readouterr().err
    assert upscaled(folder, source, tmp_path / "out", "--scale", "2", bands=1) == 2
    assert "the model's own x4" in capsys.readouterr().err
    assert upscaled(folder, source, tmp_path / "out", "--format", "png", bands=1) == 2
    assert "name a .tif" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_windows_meet_without_a_seam_and_overviews_are_built(folder, tmp_path):
    """Nothing stands out where a window begins or hands over, neither of the scene nor of what windows change in it."""
    upscaler = open_upscaler(str(folder / "m3.safetensors"), device="cpu", dtype="float32")
    source = write(tmp_path / "a.tif", smooth(HIGH, WIDE).transpose(2, 0, 1))
    sampling = as_plan(sampling_for(upscaler.info, steps=2))
    request = Request(sampling, outputs=Outputs(scene=True), tile=256)
    results = []
    for tile in (256, 1024):
        list(upscale_files(upscaler, [Job(source, tmp_path / f"{tile}.tif")], replace(request, tile=tile)))
        with rasterio.open(tmp_path / f"{tile}.tif") as file:
            results.append(torch.from_numpy(file.read().astype(np.float32))[None])
            assert file.overviews(1) == [2]
    with open_scene(source) as scene:
        assert scene.bands == 3
    step = scene_layout(upscaler, 256).step * 4
    assert step == 256
    change = results[0] - results[1]
    assert 0 < float(change.abs().mean()) < 1  # levels: layers that normalise see one window
    for dim in (-2, -1):
        lines = [k for k in (step - 64, step, step + 64, 2 * step, 2 * step + 64) if k < results[0].shape[dim] - 2]
        for image in (results[0], change):
            found = standing_out(image, lines, dim=dim)
            assert max(found.values()) < SEAM, found
        assert standing_out(with_seam(change, step, 2, dim=dim), lines, dim=dim)[step] > SEAM


def with_strength(folder):
    """Write a model that measures how strongly its input needs cleaning."""
    torch.manual_seed(0)
    network = StrengthNetwork(8, image_channels=3)
    with torch.no_grad():
        network.last.weight *= 0.3
        network.last.bias.fill_(0.5)
    clean = write_restoration(folder / "clean.safetensors")
    large = write_random_model(folder / "large.safetensors")
    join(read_parts(str(clean), str(large)), folder / "m3.safetensors", strength=network)
    return open_upscaler(str(folder / "m3.safetensors"), device="cpu", dtype="float32")


def test_a_scene_is_cleaned_at_one_strength(tmp_path):
    """Measured by windows of 256, of which this scene is one, and not by the windows in which it is drawn."""
    upscaler = with_strength(tmp_path)
    pixels = smooth(HIGH, WIDE)
    pixels[:, WIDE // 2 :] = pixels[:, WIDE // 2 :] // 4 + 90
    source = write(tmp_path / "a.tif", pixels.transpose(2, 0, 1))
    low_res = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 127.5 - 1
    strength, half = (float(upscaler.cleaned(part).strengths) for part in (low_res, low_res[..., WIDE // 2 :]))
    assert 0.05 < strength < 0.95
    assert abs(strength - half) > 0.01, "windows of their own would differ"
    options = ("--dtype", "float32", "--tile", "256")
    found = []
    for number, more in enumerate(((), ("--restoration", str(strength)))):
        assert upscaled(tmp_path, source, tmp_path / str(number), *options, *more) == 0
        with rasterio.open(tmp_path / str(number) / "a.tif") as file:
            found.append(file.read().astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1


def test_a_scene_without_data_stays_one(tmp_path):
    """There is nothing to measure."""
    upscaler = with_strength(tmp_path)
    source = write(tmp_path / "a.tif", np.zeros((3, HIGH, WIDE), np.uint8), nodata=0)
    request = Request(as_plan(sampling_for(upscaler.info, steps=1)), outputs=Outputs(scene=True), tile=256)
    *_, done = upscale_files(upscaler, [Job(source, tmp_path / "large.tif")], request)
    assert done.strength == 1
    with rasterio.open(tmp_path / "large.tif") as file:
        assert not file.read_masks().any()


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_picture_with_pixels_without_data_names_the_way_to_keep_them(folder, tmp_path, capsys, kind):
    array = np.maximum(smooth(16, 16), 1).transpose(2, 0, 1).astype(kind) * (1 if kind is np.uint8 else 256)
    command = ["-o", str(tmp_path / "out"), "--model", str(folder / "m3.safetensors"), "--steps", "1"]
    whole = write(tmp_path / "whole.tif", array, nodata=0)
    assert run(["upscale", str(whole), *command]) == 0
    assert capsys.readouterr().err == ""
    array[:, 3:5, 6:9] = 0
    holed = write(tmp_path / "holed.tif", array, nodata=0)
    assert run(["upscale", str(holed), *command]) == 0
    said = capsys.readouterr().err
    assert f"{holed}: marks pixels that hold no data, and they are enlarged like all others; --geo keeps" in said
