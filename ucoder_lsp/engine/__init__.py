"""The inference engine: K candidates from one prompt.

It runs a quantized model on this machine. The logic of completion is in `completion`.
"""

import os

# llama.cpp's threads meet at a barrier hundreds of times per token, and OpenMP waits there by spinning by default.
# On a busy machine a spinning thread keeps others off the core: 7.7 s instead of 0.6 s for the same answer. Sleeping
# at once costs up to twice the time on an idle machine. GNU's library can spin briefly and then sleep, which is near
# the best of both (docs/decisions.md, "OpenMP threads spin shortly, then sleep"); other libraries only support the
# policy. The library reads both when it is loaded, so they are set before any module here imports it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
