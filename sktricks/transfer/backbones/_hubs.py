"""Find files of model hubs in the hub's local cache, or download them."""

from __future__ import annotations

import os
import re
import ssl
from difflib import get_close_matches
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch

from ..._optional import import_optional

PATIENCE = 4.0  # seconds to wait for the response of a hub
REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def check_repository(spec, name):
    """Raise an error unless a name is an existing folder or a valid repository name."""
    if os.path.isdir(name) or (REPOSITORY.fullmatch(name) and ".." not in name and "--" not in name):
        return
    raise ValueError(
        f"backbone={spec!r} must name an existing folder or a repository, but {name!r} is neither: a repository is "
        "'user/repository', with letters, digits, '-', '_' and '.'"
    )


def unknown_net(library, name, known):
    """Return the error for a net that a library does not have; it suggests similar names."""
    close = [f"{library}:{other}" for other in get_close_matches(name.partition(".")[0], known, n=4)]
    hint = f"; similar names are {close}" if close else ""
    return ValueError(f"backbone='{library}:{name}' is unknown: {library} has no net {name!r}{hint}")


def fetch_url(url):
    """Return the path of a file of torch's hub, downloaded if necessary."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / os.path.basename(urlparse(url).path)
    if path.exists():
        return path
    check_reachable(url, path.name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = torch.hub.HASH_REGEX.search(path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), part[1] if part else None, progress=False)
    except OSError as error:
        raise unreachable(url, path.name, folder) from error
    return path


def fetch_hub(repository, names, extra):
    """Return the path of the first existing file in a Hugging Face repository, downloaded if necessary."""
    hub = import_optional("huggingface_hub", extra)
    for name in names:
        path = hub.try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    check_hub(repository, " or ".join(names), extra)
    for name in names:
        try:
            return Path(hub.hf_hub_download(repository, name))
        except hub.utils.LocalEntryNotFoundError as error:
            raise unreachable(hub.constants.ENDPOINT, name, hub_folder(repository, extra)) from error
        except hub.utils.EntryNotFoundError:
            continue
        except hub.utils.RepositoryNotFoundError as error:
            raise ValueError(f"there is no repository {repository} on {hub.constants.ENDPOINT}") from error
    raise ValueError(f"the repository {repository} has no file {' or '.join(names)}")


def check_hub(repository, files, extra):
    """Raise an error if these files cannot be downloaded from Hugging Face."""
    constants = import_optional("huggingface_hub", extra).constants
    folder = hub_folder(repository, extra)
    if constants.HF_HUB_OFFLINE:
        raise unreachable(constants.ENDPOINT, files, folder, "HF_HUB_OFFLINE is set")
    check_reachable(constants.ENDPOINT, f"{files} of {repository}", folder)


def hub_folder(repository, extra):
    """Return the folder of a repository in the Hugging Face cache."""
    return hub_cache(extra) / f"models--{repository.replace('/', '--')}"


def hub_cache(extra):
    """Return the Hugging Face cache folder."""
    return Path(import_optional("huggingface_hub", extra).constants.HF_HUB_CACHE)


def check_reachable(url, files, folder):
    """Raise an error, within seconds, if a host cannot be reached."""
    results = []
    thread = Thread(target=lambda: results.append(is_answering(url)), daemon=True)
    thread.start()
    thread.join(PATIENCE)  # the lookup of a host name has no timeout of its own
    if results != [True]:
        raise unreachable(url, files, folder)


def is_answering(url):
    """Return True if a host sends any response, even an error."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=PATIENCE - 1).close()
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # the downloading library may trust other certificates
    except OSError:
        return False
    return True


def unreachable(url, files, folder, why="it does not answer"):
    """Return the error for a file that is not on this machine and cannot be downloaded."""
    return ConnectionError(
        f"{files} is not on this machine and cannot be downloaded from {urlparse(url).hostname}: {why}. "
        f"Without a network, put it into {folder}"
    )
