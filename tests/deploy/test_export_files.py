"""Models fitted on image files: the graph takes pixels, and OnnxModel decodes files as fit does."""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktricks import ImageLoader, OnnxModel, export_onnx, load_onnx

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_imports import OPTIONAL, fresh  # noqa: E402

PIL = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photos of several shapes and formats, some turned by their EXIF data, some with transparent parts."""
    folder, rng, paths = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for index in range(24):
        shape = (20 + index, 45 - index, 4 if index % 4 == 3 else 3)
        image = PIL.fromarray(np.kron(rng.integers(0, 256, (4, 5, shape[2])), np.ones((8, 8, 1))).astype(np.uint8))
        image = image.resize(shape[1::-1])
        exif = PIL.Exif()
        exif[0x0112] = 1 + index % 8
        path = folder / f"{index}.{'png' if index % 4 == 3 else 'jpg'}"
        image.save(path, exif=exif)
        paths.append(str(path))
    return np.array(paths, dtype=object)


@pytest.fixture(scope="module", params=["squash", "crop"])
def exported(request, files, tmp_path_factory):
    loader = ImageLoader(size=(10, 12), resize_mode=request.param, flatten=True)
    pipeline = make_pipeline(loader, LogisticRegression(C=1e-6)).fit(files, np.arange(24) % 3)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    report = export_onnx(pipeline, path, files)
    assert report.inputs == {"path": "uint8 (n, 10, 12, 3)"} and report.n_made_rows > 20
    return pipeline, path


def test_predictions_on_files(exported, files):
    pipeline, path = exported
    expected = pipeline.predict_proba(files)
    for model in (OnnxModel(path), load_onnx(path)):
        for X in (files, files.tolist(), [Path(file) for file in files], [Path(file).read_bytes() for file in files]):
            np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-9)
        np.testing.assert_array_equal(model.predict(files), pipeline.predict(files))
    pixels = ImageLoader(size=(10, 12), resize_mode=pipeline[0].resize_mode).fit_transform(files)
    np.testing.assert_allclose(OnnxModel(path).predict_proba(pixels), expected, atol=1e-9)


def test_a_column_of_a_frame(files, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"photo": files})
    pipeline = make_pipeline(ImageLoader(size=8, flatten=True), LogisticRegression(C=1e-6)).fit(
        frame, np.arange(24) % 3
    )
    report = export_onnx(pipeline, tmp_path / "model.onnx", frame)
    assert list(report.inputs) == ["photo"]
    model = load_onnx(tmp_path / "model.onnx")
    assert model.n_features_in_ == 1  # the Pipeline itself lacks this attribute
    assert model.feature_names_in_.tolist() == ["photo"]
    np.testing.assert_array_equal(model.predict(frame), pipeline.predict(frame))


def test_no_file_is_in_the_model(exported, files):
    content = exported[1].read_bytes()
    assert not any(os.fsencode(file) in content for file in files)


def test_pillow_is_all_that_files_need(exported, files):
    code = f"""
import json
from sktricks import OnnxModel
print(json.dumps(OnnxModel({os.fspath(exported[1])!r}).predict({files[:4].tolist()!r}).tolist()))
"""
    refuse = ["torch", "sklearn", "scipy", "pandas", "skorch", "joblib", *OPTIONAL - {"onnxruntime", "PIL"}]
    assert fresh(code, refuse=refuse) == exported[0].predict(files[:4]).tolist()


def test_files_that_cannot_be_read(exported, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="bad.jpg cannot be read as an image"):
        OnnxModel(exported[1]).predict([str(tmp_path / "bad.jpg")])
    with pytest.raises(ValueError, match=r"path must have the shape \(n, 10, 12, 3\), got \(1, 9, 12, 3\)"):
        OnnxModel(exported[1]).predict(np.zeros((1, 9, 12, 3), np.uint8))
    with pytest.raises(ValueError, match="path must be uint8"):
        OnnxModel(exported[1]).predict(np.zeros((1, 10, 12, 3)))


def test_the_snippet_of_the_documentation(files, tmp_path, monkeypatch):
    """Pillow and onnxruntime predict the same as the estimator, with the code in docs/deploying.md."""
    page = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text()
    [code] = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.S) if "image.draft" in block]
    photos = [file for file in files if file.endswith("jpg")]
    pipeline = make_pipeline(ImageLoader(size=(10, 12), flatten=True), LogisticRegression(C=1e-6))
    pipeline.fit(photos, np.arange(len(photos)) % 3)
    monkeypatch.chdir(tmp_path)
    export_onnx(pipeline, "photos.onnx", photos)
    for photo in photos:
        found = {"images": SimpleNamespace(path=[photo])}
        exec(code, found)
        np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba([photo]), atol=1e-9)
