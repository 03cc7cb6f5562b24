"""The inference engine: K candidates from one prompt on a local quantized model.

The only importer of llama_cpp.
"""

import os

# llama.cpp's threads meet at a barrier hundreds of times a token, and OpenMP's default is to wait there by
# spinning. On a machine that also compiles or runs tests a spinning thread keeps its partner from the core: with
# both of two cores busy the same answer took 7.7 s spinning and 0.6 s passive (docs/log.md). The library reads
# this when it is loaded, so it is set before anything below imports it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
