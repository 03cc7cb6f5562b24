"""The code that runs inside the jail.

Plain Python 3.8+, standard library only, no import of the rest of `sandbox`.

The jail's interpreter may be the one of the user's workspace, without this project's packages, so these files are
passed to it by path. `canonical` is also used outside: one file defines the encoding.
"""
