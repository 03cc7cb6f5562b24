"""Run `ucoder` as `python -m ucoder_lsp`, for callers that have the interpreter but not the script's path."""

from ucoder_lsp.cli import main

if __name__ == "__main__":
    main(prog_name="ucoder")
