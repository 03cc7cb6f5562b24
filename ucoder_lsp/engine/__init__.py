"""The inference engine: K candidates from one prompt on a local quantized model.

The only importer of llama_cpp.
"""

import os

# llama.cpp's threads meet at a barrier hundreds of times a token, and OpenMP's default is to wait there by
# spinning. On a machine that also compiles or runs tests a spinning thread keeps its partner from the core
# (7.7 s instead of 0.6 s for the same answer); to sleep at once costs up to twice the time on an idle one. GNU's
# library spins shortly and then sleeps when told how long, which is near the best of both (docs/log.md); others
# know the policy only. The library reads this when it is loaded, so it is set before anything below imports it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
