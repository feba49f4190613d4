"""Public augmenters for tests that check all of them; new ones are discovered."""

import sktricks
from sktricks import AugmentationPipeline, BaseAugmenter, RandomApply


def other_augmenters(augmenters):
    """Return an instance with default parameters of each public augmenter whose class is not among these."""
    known = {BaseAugmenter, RandomApply, AugmentationPipeline, *map(type, augmenters)}
    public = [getattr(sktricks, name) for name in sktricks.__all__]
    return [cls() for cls in public if isinstance(cls, type) and issubclass(cls, BaseAugmenter) and cls not in known]
