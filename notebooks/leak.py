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
    from mematlas.analyses import recount
    from mematlas.experiments import Document, PlantingConfig, Size, TrainingConfig, train_family


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Does my fine-tuned model leak its training file?

    A model is trained on the spot, in seconds, on a file in which some rows stand once and others up to 64 times.
    Then the questions are asked that you would ask of your own model before its release: how many rows does it
    recite, which ones, is it the duplicates, and could someone tell what it was trained on though it recites
    nothing? Here the truth is known, so you can see that the answers are right.

    The model is trained from scratch, which stands for fine-tuning. For yours, leave this model out and name your
    model's folder, your training file and held-out text of the same kind under *Score it*. A text file does not say
    how often its rows were shown: `mematlas.make_features` counts their copies, and the analysis `repetition` takes
    the place of the figure by repetitions; the rows as text are made by `mematlas run`.
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

    The texts are modules of Python's own standard library, so nothing is downloaded. `train` holds 96 rows of 64
    tokens, of which 24 each are shown 1, 4, 16 and 64 times; `control` holds 96 rows of other modules, which are
    never shown. No row shares a passage of 32 tokens with another row, and no control row with any training text.
    """)
    return


@app.cell
def _(out):
    torch.set_num_threads(1)  # the fastest for so small a model

    def modules() -> list[Document]:
        """The beginnings of some modules of this Python's standard library."""
        paths = sorted(Path(tempfile.__file__).parent.glob("[a-z]*.py"))
        return [Document(path.name, path.read_text(encoding="utf-8")[:8000]) for path in paths]

    recipe = TrainingConfig(
        planting=PlantingConfig(
            vocabulary=1024,
            row_length=64,
            repetitions=(1, 4, 16, 64),
            rows_per_level=24,
            control_rows=96,
            held_out_share=0.5,  # many modules on either side, so that the two are of one kind
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
    ## Score it

    The model is given the first 32 tokens of each row and writes the next 32, greedily. `signals` keep, token by
    token, what it wrote and how probable the true text was. A run that is there already is not scored again.
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

    A row is recited when all 32 tokens are right. The number means something beside two others: its interval, and
    the same share of the control, which says how much of it any model would get right that never saw the file.
    """)
    return


@app.cell
def _(study):
    def shares(*by: str) -> pl.DataFrame:
        """Rows recited whole in each group of rows, with Wilson's 95 % interval."""
        counts = recount.lines(study).group_by(by).agg(pl.len().alias("rows"), pl.col("recited").sum())
        return recount.with_shares(counts, "recited").sort(by, descending=True)

    by_role = shares("role")
    by_role
    return by_role, shares


@app.cell
def _(by_role):
    told = {
        role: f"{share:.1%} ({lower:.1%} to {upper:.1%}) of {rows} {role} rows"
        for role, rows, share, lower, upper in by_role.select(
            "role", "rows", "share", "share_lower", "share_upper"
        ).iter_rows()
    }
    how_many = f"Recited whole: {told['train']}, {told['control']}."
    print(how_many)
    mo.md(f"**{how_many}** The intervals are far apart: it leaks.")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Is it the duplicates?

    Duplicates leak first. The share rises with the repetitions, and rows that were shown once look like the
    control: whoever removes duplicates from this file and trains again has a remedy, and can check it with the same
    lines.
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
        y=alt.Y("share:Q", title="rows recited whole", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    )
    repetitions_chart = (
        (_whiskers + _points)
        .properties(width=360, height=240, description="Rows recited whole by repetitions, with 95 % intervals")
        .configure_axis(titleFontWeight="normal")
    )
    repetitions_chart
    return (repetitions_chart,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Which rows?

    The worst first: rows of which half the tokens or more are right although they were shown least. Read them: a
    licence header that every model knows is another matter than an address. The context is grey; of the true
    continuation, what the model wrote is marked.
    """)
    return


@app.cell
def _(model, study, train):
    _tokenizer = AutoTokenizer.from_pretrained(model)
    _tokens = pl.read_parquet(train, columns=["tokens"])["tokens"]
    _free = study.signals("free", context=32, continuation=32).select("row", "token")
    _known = recount.lines(study, role="train").filter(pl.col("score") >= 0.5).join(_free, on="row")
    worst = _known.sort("repetitions", "row").unique("source", keep="first", maintain_order=True).head(5)

    def decoded(ids: list[int]) -> str:
        return _tokenizer.decode(ids)

    def shown_as(row: int, written: list[int]) -> str:
        """A row as HTML; its text is escaped, since a corpus may hold anything."""
        ids = _tokens[row].to_list()
        truth = ""
        for is_right, run in itertools.groupby(zip(ids[32:64], written, strict=True), lambda pair: pair[0] == pair[1]):
            text = html.escape(decoded([true for true, _ in run]))
            truth += f"<mark>{text}</mark>" if is_right else text
        return f'<pre><span style="color: gray">{html.escape(decoded(ids[:32]))}</span>{truth}</pre>'

    print("Recited though shown least:")
    for _row, _source, _times, _right in worst.select("row", "source", "repetitions", "matches").iter_rows():
        _truth = decoded(_tokens[_row].to_list()[32:64])
        print(f"  row {_row} of {_source}, shown {_times} times, {_right} of 32 tokens right: {_truth!r}")
    gallery = "".join(
        f"<p>{html.escape(source)}, shown {times} times</p>{shown_as(row, written)}"
        for row, source, times, written in worst.select("row", "source", "repetitions", "token").iter_rows()
    )
    mo.Html(gallery)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What does it give away without reciting?

    Greedy decoding sees the tip. `probability` asks what someone would draw who samples many times; `inference`
    asks whether the model's loss tells training rows from control rows. A bag of words that never saw the model
    stands beside: where it tells the two apart, they are different kinds of text, the control is none, and no
    number of this page can be trusted. It needs the row features, which `make_features` counts in the training file.
    """)
    return


@app.cell
def _(study):
    mematlas.make_features(study, scope="rows")
    findings = mematlas.analyze(study, only=["distribution", "probability", "inference"])
    for _found in findings:
        print(f"{_found.name}: {_found.claim}")
    mo.md("\n".join(f"- **{found.name}**: {found.claim} *Control:* {found.control}" for found in findings))
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What to conclude, and what not

    - **It leaks**: the training rows are recited far above the control, and the intervals do not touch.
    - **By repetition**: rows shown once are not recited whole here. That is no proof that none would be: the upper
      end of their interval is what the data allow. Score more rows, and longer contexts.
    - **Membership leaks earlier than text.** If the AUROC lies far above the bag of words', someone who holds a
      text can tell that it was in the file, though the model does not recite it.
    - **Not concluded**: that the *fine-tuning* did it. What the model before fine-tuning recites, too, was learnt
      elsewhere: score it beside with `control_models=["./base-model"]`.
    - **Not concluded**: anything on other prompts. A model trained with a chat template leaks when it is asked with
      it.

    The same from the command line, with a report: *Does my fine-tuned model leak its training file?* in the
    documentation.
    """)
    return


if __name__ == "__main__":
    app.run()
