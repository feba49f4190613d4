"""Docstrings of everything public, by numpydoc's own checks: sections, names, types, descriptions."""

import inspect
from dataclasses import fields, is_dataclass

import pytest

import sktricks
import sktricks.deploy

validate = pytest.importorskip("numpydoc.validate").validate
get_doc_object = pytest.importorskip("numpydoc.docscrape").get_doc_object

CHECKS = {
    "GL08",  # no docstring
    "PR01",  # parameters that are not documented,
    "PR02",  # or unknown,
    "PR03",  # or in another order
    "PR04",  # no type
    "PR07",  # no description
    "PR08",  # a description that does not begin with a capital letter
    "SS03",  # no period at the end of the summary
    "SS05",  # a summary in the third person
    "RT01",  # no section Returns
    "RT03",  # a result without a description
}


def public_objects():
    """Public names, one for each object, as what they stand for."""
    objects = {}
    for module in (sktricks, sktricks.deploy):
        for name in module.__all__:
            if not name.startswith("_"):
                objects.setdefault(getattr(module, name), f"{module.__name__}.{name}")
    return {name: part for part, name in objects.items()}


PUBLIC = public_objects()
CLASSES = {
    name: part for name, part in PUBLIC.items() if isinstance(part, type) and not issubclass(part, (Warning, Exception))
}


def own_methods(part):
    """The public methods and properties of a class that this package defines."""
    for name in dir(part):
        found = inspect.getattr_static(part, name)
        found = found.fget if isinstance(found, property) else getattr(part, name)
        ours = str(getattr(found, "__module__", "")).startswith("sktricks")
        if ours and callable(found) and not name.startswith("_"):
            yield name


def is_result(part):
    """True for a result of ours that users read and never make: its fields are under Attributes."""
    return is_dataclass(part)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_numpydoc_finds_no_fault(name):
    part = PUBLIC[name]
    checks = {name: CHECKS - {"PR01"} if is_result(part) else CHECKS}
    if isinstance(part, type):
        checks |= {f"{name}.{method}": CHECKS for method in own_methods(part)}
    faults = {path: [f for f in validate(path)["errors"] if f[0] in wanted] for path, wanted in checks.items()}
    assert not any(faults.values()), {path: found for path, found in faults.items() if found}


@pytest.mark.parametrize("name", [name for name, part in sorted(CLASSES.items()) if is_result(part)])
def test_the_fields_of_a_result_are_its_attributes(name):
    attributes = get_doc_object(PUBLIC[name])["Attributes"]
    documented = {one for attribute in attributes for one in attribute.name.split(", ")}
    assert {field.name for field in fields(PUBLIC[name])} <= documented


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_has_an_example_and_says_what_to_see_also(name):
    doc = get_doc_object(PUBLIC[name])
    assert ">>>" in "\n".join(doc["Examples"])
    assert doc["See Also"]
