import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import html
    import itertools
    import tempfile
    from pathlib import Path

    import altair as alt
    import marimo as mo
    import polars as pl
    import torch
    from transformers import AutoTokenizer

    import mematlas
    from mematlas import recount
    from mematlas.experiments import Document, PlantingConfig, Size, TrainingConfig, train_family


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Does my fine-tuned model leak its training file?

    This notebook trains a model in seconds, on a file in which some rows occur once and others up to 64 times. It
    then answers the questions that you would ask about your own model before its release: How many rows does it
    recite, and which ones? Do duplicates explain it? Could someone tell what it was trained on, even though it
    recites nothing? Here the truth is known, so you can check that the answers are right.

    The model is trained from scratch, as a substitute for fine-tuning. To examine your own model, skip the training
    and name your model's folder, your training file and held-out text of the same kind under *Score the model*. A
    text file does not say how often its rows were shown: `mematlas.make_features` counts their copies, and the
    analysis `repetition` replaces the figure by repetitions. `mematlas run` creates the gallery of rows as text.
    """)
    return


@app.cell
def _():
    out = Path(mo.cli_args().get("out") or tempfile.mkdtemp(prefix="leak-"))
    return (out,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## A model that was trained to leak

    The texts are modules of Python's own standard library, so nothing is downloaded. `train` contains 96 rows of 64
    tokens, of which 24 each are shown 1, 4, 16 and 64 times. `control` contains 96 rows of other modules, which are
    never shown. No row shares a passage of 32 tokens with another row, and no control row with any training text.
    """)
    return


@app.cell
def _(out):
    torch.set_num_threads(1)  # the fastest setting for such a small model

    def modules() -> list[Document]:
        """The first 8,000 characters of some modules of this Python's standard library."""
        paths = sorted(Path(tempfile.__file__).parent.glob("[a-z]*.py"))
        return [Document(path.name, path.read_text(encoding="utf-8")[:8000]) for path in paths]

    recipe = TrainingConfig(
        planting=PlantingConfig(
            vocabulary=1024,
            row_length=64,
            repetitions=(1, 4, 16, 64),
            rows_per_level=24,
            control_rows=96,
            held_out_share=0.5,  # many modules in both parts, so that training and control rows are of the same kind
        ),
        sizes=(Size(hidden=64, layers=2, heads=4, peak_rate=1e-2),),
        batch=8,
        warm_up=10,
        checkpoints=(),
    )
    family = train_family(out, recipe, documents=modules)
    model, train, control = family.final[0].folder, family.train, family.control
    return control, model, train


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Score the model

    The model is given the first 32 tokens of each row and generates the next 32 greedily. `signals` records, token
    by token, what it generated and how probable the true text was. A run that already exists is not scored again.
    """)
    return


@app.cell
def _(control, model, out, train):
    study = mematlas.score(
        str(model),
        corpus=str(train),
        control=str(control),
        context=[32],
        continuation=[32],
        signals=["free", "truth"],
        study=out / "study",
    )
    study.scores().head(3)
    return (study,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## How many rows does it recite?

    A row is recited if all 32 tokens are correct. Compare the share with its interval, and with the same share of
    the control, which shows how much a model would recite that never saw the file.
    """)
    return


@app.cell
def _(study):
    def shares(*by: str) -> pl.DataFrame:
        """Rows recited in full in each group of rows, with Wilson's 95 % interval."""
        counts = recount.lines(study).group_by(by).agg(pl.len().alias("rows"), pl.col("recited").sum())
        return recount.with_shares(counts, "recited").sort(by, descending=True)

    by_role = shares("role")
    by_role
    return by_role, shares


@app.cell
def _(by_role):
    by_role_text = {
        role: f"{share:.1%} ({lower:.1%} to {upper:.1%}) of {rows} {role} rows"
        for role, rows, share, lower, upper in by_role.select(
            "role", "rows", "share", "share_lower", "share_upper"
        ).iter_rows()
    }
    summary = f"Recited in full: {by_role_text['train']}, {by_role_text['control']}."
    print(summary)
    mo.md(f"**{summary}** The intervals are far apart: the model leaks.")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Do duplicates explain it?

    Duplicates leak first. The share rises with the repetitions, and rows that were shown once look like the control.
    Removing duplicates from the file and training again is therefore a remedy, which can be checked with the same
    code.
    """)
    return


@app.cell
def _(shares):
    by_repetitions = shares("role", "repetitions").sort("repetitions")
    by_repetitions
    return (by_repetitions,)


@app.cell
def _(by_repetitions):
    for _role, _repetitions, _rows, _recited in by_repetitions.select(
        "role", "repetitions", "rows", "recited"
    ).iter_rows():
        print(f"shown {_repetitions:>2} times ({_role}): {_recited} of {_rows} rows recited")
    return


@app.cell
def _(by_repetitions):
    _shown = by_repetitions.with_columns(
        pl.when(role="control")
        .then(pl.lit("never (control)"))
        .otherwise(pl.col("repetitions").cast(pl.String))
        .alias("x")
    )
    _base = alt.Chart(_shown).encode(
        x=alt.X("x:N", sort=_shown["x"].to_list(), title="times shown in training", axis=alt.Axis(labelAngle=0)),
        color=alt.Color(
            "role:N", scale=alt.Scale(domain=["train", "control"], range=["#0072B2", "#D55E00"]), legend=None
        ),
    )
    _whiskers = _base.mark_rule(strokeWidth=1.5).encode(y="share_lower:Q", y2="share_upper:Q")
    _points = _base.mark_point(filled=True, size=80, opacity=1).encode(
        y=alt.Y("share:Q", title="rows recited in full", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    )
    repetitions_chart = (
        (_whiskers + _points)
        .properties(width=360, height=240, description="Rows recited in full by repetitions, with 95 % intervals")
        .configure_axis(titleFontWeight="normal")
    )
    repetitions_chart
    return (repetitions_chart,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Which rows?

    The most serious cases come first: rows of which at least half the tokens are correct although they were shown
    least often. Read them: a licence header that every model knows is less serious than an address. The context is
    grey; the tokens of the true continuation that the model generated are marked.
    """)
    return


@app.cell
def _(model, study, train):
    _tokenizer = AutoTokenizer.from_pretrained(model)
    _tokens = pl.read_parquet(train, columns=["tokens"])["tokens"]
    _free = study.signals("free", context=32, continuation=32).select("row", "token")
    _half_recited = recount.lines(study, role="train").filter(pl.col("score") >= 0.5).join(_free, on="row")
    worst = _half_recited.sort("repetitions", "row").unique("source", keep="first", maintain_order=True).head(5)

    def decode(ids: list[int]) -> str:
        return _tokenizer.decode(ids)

    def row_html(row: int, generated: list[int]) -> str:
        """A row as HTML; its text is escaped, since a corpus may contain anything."""
        ids = _tokens[row].to_list()
        continuation = ""
        pairs = zip(ids[32:64], generated, strict=True)
        for is_correct, run in itertools.groupby(pairs, lambda pair: pair[0] == pair[1]):
            text = html.escape(decode([true for true, _ in run]))
            continuation += f"<mark>{text}</mark>" if is_correct else text
        return f'<pre><span style="color: gray">{html.escape(decode(ids[:32]))}</span>{continuation}</pre>'

    print("Recited although shown least often:")
    for _row, _source, _times, _matches in worst.select("row", "source", "repetitions", "matches").iter_rows():
        _truth = decode(_tokens[_row].to_list()[32:64])
        print(f"  row {_row} of {_source}, shown {_times} times, {_matches} of 32 tokens correct: {_truth!r}")
    gallery = "".join(
        f"<p>{html.escape(source)}, shown {times} times</p>{row_html(row, generated)}"
        for row, source, times, generated in worst.select("row", "source", "repetitions", "token").iter_rows()
    )
    mo.Html(gallery)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What does it reveal without reciting?

    Greedy decoding shows only the tip of the iceberg. `probability` computes what someone would extract by sampling
    many times. `inference` tests whether the model's loss distinguishes training rows from control rows, and compares
    it with a bag of words that does not use the model. If the bag of words distinguishes them, the two are different
    kinds of text: then the control is not valid, and no number on this page can be trusted. `inference` needs row
    features, which `make_features` counts in the training file.
    """)
    return


@app.cell
def _(study):
    mematlas.make_features(study, scope="rows")
    findings = mematlas.analyze(study, only=["distribution", "probability", "inference"])
    for _finding in findings:
        print(f"{_finding.name}: {_finding.claim}")
    mo.md("\n".join(f"- **{finding.name}**: {finding.claim} *Control:* {finding.control}" for finding in findings))
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What to conclude, and what not

    - **The model leaks**: the training rows are recited far above the control, and the intervals do not overlap.
    - **By repetition**: rows shown once are not recited in full here. This does not prove that none would be: the
      upper end of their interval is what the data allow. Score more rows, and longer contexts.
    - **Membership leaks earlier than text.** If the AUROC is far above that of the bag of words, someone who has a
      text can tell that it was in the file, even though the model does not recite it.
    - **Not concluded**: that the *fine-tuning* caused it. What the model before fine-tuning also recites was learned
      elsewhere: score that model as well, with `control_models=["./base-model"]`.
    - **Not concluded**: anything about other prompts. A model trained with a chat template leaks when it is prompted
      with this template.

    The page *Does my fine-tuned model leak its training file?* of the documentation shows the same from the command
    line, with a report.
    """)
    return


if __name__ == "__main__":
    app.run()
