"""Run `ucoder` as `python -m ucoder_lsp`, without the script's path."""

from ucoder_lsp.cli import main

if __name__ == "__main__":
    main(prog_name="ucoder")
