"""What has to be said before torch is loaded; to the workers of pytest-xdist, before numpy and scipy are as well."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers run side by side, and threads change the last bits of a net
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # else scikit-learn skips its check of array API inputs
