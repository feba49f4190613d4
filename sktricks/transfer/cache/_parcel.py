"""A module on its way to another process: its tensors travel as arrays, and it is put together once for all tasks.

joblib writes a large array to memory that all processes see, once for a whole search, however often it is sent. Of a
tensor it knows nothing, and torch would write its content into each message; so would joblib that of a small array,
hence small ones travel as one. Where a message brings the module of the last one, the module that was made of that
serves again.
"""

from __future__ import annotations

import multiprocessing
from copy import deepcopy
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import nn

from ._fingerprint import IN_NUMPY, digest_of, stamp_of
from ._structure import SENT, Structure, named_tensors, package_of

CAME = []  # in a worker process: the last :class:`Arrival`

ON_THEIR_WAY = WeakValueDictionary()  # parcels by the ids of their modules

IN_MESSAGE = 2**20  # bytes up to which joblib leaves an array in a message
HOOKS = {name: type(value) for name, value in vars(nn.Module()).items() if "_hooks" in name}


class Parcel:
    """A module, which a pickle has as its parts and arrays; a copy has it as it is.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module):
        self.module = module

    def __reduce__(self):
        return opened, packed(self.module)

    def __deepcopy__(self, memo):
        return Parcel(deepcopy(self.module, memo))


def parcel_of(module):
    """The parcel of a module, one for all estimators that a message brings: a pickle has it once."""
    parcel = ON_THEIR_WAY.get(id(module))
    if parcel is None:
        parcel = ON_THEIR_WAY[id(module)] = Parcel(module)
    return parcel


def unpacked(value):
    """The module in a parcel; anything else as it is."""
    return value.module if isinstance(value, Parcel) else value


class Sent:
    """What was sent of a module last. It lies in the module, to go with it, and in no copy or pickle of that.

    Parameters
    ----------
    stamp : tuple
        Of the module when it was sent.
    arrays : list of AsArray
        In the place of its plain tensors; a message that brings the very same ones need not write them again.

    Attributes
    ----------
    name : str
        Of the module, "" if it has none.
    parts : torch.nn.Module or None
        A copy of it with the arrays in the place of tensors; None if it has no name.
    """

    def __init__(self, stamp, arrays):
        self.stamp, self.arrays, self.name, self.parts = stamp, arrays, "", None

    def __deepcopy__(self, memo):
        return None

    def __reduce__(self):
        return type(None), ()


class Arrival:
    """A module that has come to this process, for all tasks that get one of its name.

    What a task changes of it is put right for the next, but for what it writes into a large tensor behind torch's back,
    through ``.data`` or numpy: to read all weights takes a third as long as to fit a head. That stays, as it does where
    all tasks run in one process.

    Parameters
    ----------
    name, parts
        As :func:`packed` gives them.
    """

    def __init__(self, name, parts):
        self.name, self.module = name, put_together(parts)
        self.large = {id(t): t for t in plain_tensors(self.module) if t.nbytes > IN_MESSAGE and not t.is_inference()}
        self.held = [tensor.detach() for tensor in self.large.values()]  # so that nothing else can come to lie there
        self.look = self._look()

    def _look(self):
        """The stamp of the module, with torch's count of changes alone for what is large."""
        return stamp_of(self.module, unread=self.large)

    def is_still(self, name):
        """Whether it is what comes under this name."""
        return name == self.name and self._look() == self.look


def packed(module):
    """A name for a module as it is now, that of the last time if it is unchanged, and its parts.

    A module of which something may change unseen has no name. One that cannot be copied, by a method of its own, has
    None for a name, and no parts.
    """
    try:
        structure, tensors = Structure(module), plain_tensors(module)
        stamp, sent = stamp_of(module, structure), vars(module).get(SENT)
        changed = sent is None or sent.stamp != stamp
        if changed:
            sent = Sent(stamp, as_arrays(tensors))
        if sent.parts is not None:
            return sent.name, sent.parts
        parts = deepcopy(module, {id(tensor): array for tensor, array in zip(tensors, sent.arrays, strict=True)})
        vars(parts).pop(SENT, None)
        leave_out_empty(parts, module)
        if changed:
            put_together(parts)  # as whoever gets them will do
        if structure.tells_all:
            sent.name, sent.parts = name_of(structure, stamp), parts
        vars(module)[SENT] = sent
        return sent.name, parts
    except Exception:  # that method is anybody's, and torch can pickle most of what cannot be copied
        return None, module


def name_of(structure, stamp):
    """What differs if anything does that the stamp tells; the same in every process, where there are no hooks."""
    text, _, how = stamp
    kinds = [None if isinstance(tensor, np.ndarray) else (tensor.device, tensor.layout) for tensor in structure.tensors]
    return digest_of(f"{text} {how} {kinds}", structure.tensors)


def opened(name, parts):
    """A parcel again, in a worker process with the module of the last parcel if this has the same."""
    if name is None:
        return Parcel(parts)
    if multiprocessing.parent_process() is None:
        return Parcel(put_together(parts))
    arrival = CAME[0] if name and CAME else None
    if arrival is None or not arrival.is_still(name):
        arrival = Arrival(name, parts)
        CAME[:] = [arrival]
    return Parcel(arrival.module)


def leave_out_empty(parts, original):
    """Put None in the place of dicts of hooks that are empty: a module has a dozen, each of which takes its time.

    Unless somebody could be surprised: a class that copies itself, or a part that has not been copied.
    """
    copies, originals = list(parts.modules()), set(original.modules())
    if not all(copies_as_usual(type(part)) and part not in originals for part in copies):
        return
    for part in copies:
        for name, kind in HOOKS.items():
            hooks = vars(part).get(name)
            if type(hooks) is kind and not hooks:
                vars(part)[name] = None


def copies_as_usual(kind):
    """Whether modules of a class are copied as torch's own are."""
    return package_of(kind.__setstate__) == "torch" and not hasattr(kind, "__deepcopy__")


def put_together(parts):
    """The module that parts stand for, with memory of its own."""
    module = deepcopy(parts)
    for part in module.modules():
        for name, kind in HOOKS.items():
            if vars(part).get(name, ()) is None:
                vars(part)[name] = kind()
    return module


class Store:
    """An array of bytes, in an object: of arrays themselves joblib does not see that it has written them before."""

    def __init__(self, content):
        self.content = content


class AsArray:
    """What stands for a tensor in a copy of a module; a copy of that is a module again, with memory of its own.

    Parameters
    ----------
    tensor : torch.Tensor
    store : Store
        In which its bytes lie, from ``start`` on.
    start : int
    """

    def __init__(self, tensor, store, start):
        self.store, self.start, self.n_bytes = store, start, tensor.nbytes
        self.dtype, self.shape = tensor.detach().numpy().dtype, tuple(tensor.shape)
        self.kind, self.requires_grad = type(tensor), tensor.requires_grad

    def __deepcopy__(self, memo):
        content = np.array(self.store.content[self.start : self.start + self.n_bytes])
        tensor = torch.from_numpy(content.view(self.dtype).reshape(self.shape))
        if self.kind is nn.Parameter:
            return nn.Parameter(tensor, self.requires_grad)
        return tensor.requires_grad_(self.requires_grad)


def as_arrays(tensors):
    """What stands for each of some plain tensors: large ones for themselves, small ones in one array for all."""
    contents = [tensor.detach().numpy().reshape(-1).view(np.uint8) for tensor in tensors]
    small = [content for content in contents if len(content) <= IN_MESSAGE]
    together, places = Store(np.concatenate([*small, np.empty(0, np.uint8)])), np.cumsum([0, *map(len, small)]).tolist()
    where = ((together, places.pop(0)) if len(content) <= IN_MESSAGE else (Store(content), 0) for content in contents)
    return [AsArray(tensor, *place) for tensor, place in zip(tensors, where, strict=True)]


def plain_tensors(module):
    """The parameters and buffers that an array and a flag say everything about; the others are pickled as ever."""
    return [
        tensor
        for _, tensor in named_tensors(module)
        if type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype in IN_NUMPY
        and tensor.is_leaf
        and tensor.is_contiguous()
        and not (vars(tensor) or tensor._backward_hooks)
    ]
