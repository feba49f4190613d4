"""Files as model hubs lay them out, written into a folder."""

COMMIT = "a" * 40


def hub_repository(cache, name):
    """A repository in a cache of Hugging Face's hub: the folder for its files."""
    folder = cache / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return snapshot
