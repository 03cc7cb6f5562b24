"""The stages of a training run, one module each.

`trainer.pipeline.STAGES` shows their order.

A stage module holds:

    STAGE      its name and version: raise the version when the same input is to give another output
    run        the stage for all problems of a run: what is kept, and the reasons to drop the rest
    request    the prompt and the parameters of its samples
    read       how an answer is read; never raises on any text

Beside them: `exercises` (the examples in the prompts), `served_prompts`, `decontamination`, `funnel`, and `context`,
the tools of every stage.
"""
