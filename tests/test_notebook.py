"""A notebook shows bars as widgets, estimators and tables as HTML, and figures of Displays."""

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
for module in ("ipykernel", "ipywidgets", "matplotlib"):
    pytest.importorskip(module)

CELLS = {
    "setup": """
%matplotlib inline
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB
from sktricks import NetClassifier, TrainingDisplay, compare, diagnose
import sktricks._progress
sktricks._progress.DELAY = 0
X, y = load_iris(return_X_y=True)
net = NetClassifier(max_epochs=3, verbose=1, random_state=0)
""",
    "bars": "net.fit(X, y);",
    "estimator": "net",
    "comparison": "compare({'bayes': GaussianNB()}, X, y, cv=2)",
    "diagnosis": "diagnose(NetClassifier(max_epochs=3, random_state=0), X, y)",
    "display": "TrainingDisplay.from_estimator(net);",
}


@pytest.fixture(scope="module")
def outputs():
    """The outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS.values()])
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    return dict(zip(CELLS, (cell.outputs for cell in notebook.cells), strict=True))


@pytest.mark.parametrize(
    ("cell", "mime", "part"),
    [
        ("bars", "application/vnd.jupyter.widget-view+json", "model_id"),
        ("estimator", "text/html", "NetClassifier"),
        ("comparison", "text/html", "<table>"),
        ("diagnosis", "text/html", "<"),
        ("display", "image/png", "iVBOR"),
    ],
)
def test_outputs_have_their_kinds(outputs, cell, mime, part):
    (shown,) = [output.data for output in outputs[cell] if mime in output.get("data", {})]
    assert part in shown[mime]
    if mime == "text/html":
        assert shown["text/plain"]  # for what cannot show HTML


def test_nothing_is_written_to_stderr(outputs):
    assert [output for cell in outputs.values() for output in cell if output.get("name") == "stderr"] == []
