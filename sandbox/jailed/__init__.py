"""What runs inside the jail: plain Python 3.8+, standard library only, no import of the rest of `sandbox`.

The jail's interpreter may be the one of the user's workspace, in which nothing of ours is installed, so these
files are handed to it by name. `canonical` alone is used on both sides: one file owns the encoding.
"""
