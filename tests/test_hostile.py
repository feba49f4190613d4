"""Adversarial tests: forged archives, damaged files, and wrong values everywhere a user can give one.

Whatever is given, only ``ValueError``, ``TypeError`` or ``ImportError`` may be raised, and the message names the
parameter or the file. What the tests share lives in ``tests/_hostile_*.py``. The long variants run with ``-m long``.
"""
