"""Write the inventories: the names that our pages cite, and where other projects document them.

Add a name to the list, then run ``python docs/_inventories/write.py``. Names of Python are looked up in the installed
packages, so that a name that does not exist is an error.
"""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path

HERE = Path(__file__).parent
GENERATED = "generated/$.html#$"

# Of each project: its title, the page of most names, the names, and other pages by name. "$" is the name.
PROJECTS = {
    "python": (
        "Python",
        None,
        "",
        {
            "os.fsdecode": "library/os.html#$",
            "concurrent.futures.Future": "library/concurrent.futures.html#$",
            "UserWarning": "library/exceptions.html#$",
            "ValueError": "library/exceptions.html#$",
            "TypeError": "library/exceptions.html#$",
            "ImportError": "library/exceptions.html#$",
        },
    ),
    "sklearn": (
        "scikit-learn",
        "modules/generated/$.html#$",
        """
        sklearn.compose.ColumnTransformer
        sklearn.ensemble.StackingClassifier
        sklearn.ensemble.StackingRegressor
        sklearn.ensemble.VotingClassifier
        sklearn.ensemble.VotingRegressor
        sklearn.frozen.FrozenEstimator
        sklearn.linear_model.LogisticRegression
        sklearn.linear_model.Ridge
        sklearn.metrics.r2_score
        sklearn.model_selection.cross_validate
        sklearn.model_selection.GridSearchCV
        sklearn.model_selection.GroupKFold
        sklearn.multioutput.MultiOutputRegressor
        sklearn.pipeline.Pipeline
        sklearn.set_config
        sklearn.utils.Bunch
        sklearn.utils.metadata_routing.MetadataRequest
        """,
        {},
    ),
    "torch": ("PyTorch", GENERATED, "torch.nn.Module", {}),
    "joblib": ("joblib", GENERATED, "joblib.parallel_config", {}),
}
# Labels and terms that docstrings inherited from scikit-learn cite.
SKLEARN_LABELS = {
    "accuracy_score": "modules/model_evaluation.html#accuracy-score",
    "df_output_transform": "modules/df_output_transform.html#df-output-transform",
    "metadata_routing": "metadata_routing.html#metadata-routing",
    "r2_score": "modules/model_evaluation.html#r2-score",
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": "auto_examples/miscellaneous/plot_set_output.html",
}
SKLEARN_TERMS = ["fit", "meta-estimator"]


def look_up(name):
    """Return the object of a dotted name, and its role."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        break
    else:
        found = getattr(importlib.import_module("builtins"), name)
    if isinstance(found, type):
        return "py:exception" if issubclass(found, BaseException) else "py:class"
    return "py:function"


def write_inventory(name, title, lines):
    """Write an inventory of version 2 of Sphinx's format."""
    head = f"# Sphinx inventory version 2\n# Project: {title}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    (HERE / f"{name}.inv").write_bytes(head.encode() + zlib.compress("\n".join(sorted(lines)).encode() + b"\n", 9))


def main():
    """Write all inventories."""
    for project, (title, page, names, others) in PROJECTS.items():
        pages = dict.fromkeys(names.split(), page) | others
        lines = [f"{name} {look_up(name)} 1 {address} -" for name, address in pages.items()]
        if project == "sklearn":
            lines += [f"{label} std:label -1 {address} {label}" for label, address in SKLEARN_LABELS.items()]
            lines += [f"{term} std:term -1 glossary.html#term-{term} -" for term in SKLEARN_TERMS]
        write_inventory(project, title, lines)


if __name__ == "__main__":
    main()
