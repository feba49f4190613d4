"""Nets in the file layouts of model hubs."""

import json

COMMIT = "a" * 40


def hub_repository(cache, name):
    """Create a repository in a Hugging Face cache, and return the folder of its files."""
    folder = cache / f"models--{name.replace('/', '--')}"
    files = folder / "snapshots" / COMMIT
    files.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return files


def write_for_timm(folder, model, config):
    """Write the files that timm saves for a net."""
    from safetensors.torch import save_file

    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
