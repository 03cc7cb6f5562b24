"""`python -m ucoder_lsp` is `ucoder`, for callers that know the interpreter but not the script's path."""

from ucoder_lsp.cli import main

if __name__ == "__main__":
    main(prog_name="ucoder")
