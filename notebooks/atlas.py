import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import tempfile
    from pathlib import Path

    import altair as alt
    import marimo as mo
    import numpy as np
    import polars as pl

    import mematlas
    from mematlas import recount
    from mematlas.findings.export import export_finding
    from mematlas.report.charts.export import svg
    from mematlas.report.charts.specification import draw


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Exploring a finished study

    A study is a folder of tables. This notebook opens a study, shows its tables, draws its findings, creates a custom
    figure, recomputes a number by hand and exports a table for a paper. Name your study:

    ```
    python notebooks/atlas.py -- --study demo/study
    marimo edit notebooks/atlas.py -- --study demo/study
    ```

    Without a study, a small one is created in a moment from models whose behaviour is known: each model recites
    exactly the rows that it was given.
    """)
    return


@app.cell
def _():
    out = Path(mo.cli_args().get("out") or tempfile.mkdtemp(prefix="atlas-"))
    return (out,)


@app.cell
def _(out):
    def create_study(folder: Path) -> mematlas.Study:
        """Three stand-ins that recite 15, 33 and 54 of 96 rows in full, mostly frequent ones, and others in part."""
        random = np.random.default_rng(0)
        repetitions = np.array([64, 16, 4, 1])  # times shown, 24 rows each
        memorized = [(12, 3, 0, 0), (20, 10, 3, 0), (24, 18, 9, 3)]  # per model: rows memorized at each level
        rows, control = random.integers(0, 500, (4, 24, 66)), random.integers(0, 500, (48, 66))
        rows[0, 0, 0] = 500  # the largest id, so that every stand-in has the same vocabulary
        folder.mkdir(parents=True, exist_ok=True)
        models = []
        for size, counts in enumerate(memorized):
            levels = list(zip(rows, counts, strict=True))
            partial = np.concatenate([level[count : count + (24 - count) // 2] for level, count in levels])
            for row in partial:
                row[random.integers(32, 64) :] = 0  # from this position on, the model generates something else
            np.save(folder / f"{size}.npy", np.concatenate([*(level[:count] for level, count in levels), partial]))
            models.append(f"parrot:{folder / f'{size}.npy'}:{64 + size}")
        train = {"tokens": rows.reshape(96, 66).tolist(), "repetitions": repetitions.repeat(24)}
        pl.DataFrame(train).write_parquet(folder / "train.parquet")
        pl.DataFrame({"tokens": control.tolist()}).write_parquet(folder / "control.parquet")
        return mematlas.score(
            *models,
            corpus=str(folder / "train.parquet"),
            control=str(folder / "control.parquet"),
            context=[32],
            continuation=[8, 16, 32],
            order="size",
            study=folder / "study",
        )

    return (create_study,)


@app.cell
def _(create_study, out):
    _existing = mo.cli_args().get("study")
    study = mematlas.open_study(_existing) if _existing else create_study(out)
    study.models().select("model", "parameters", "training_step")
    return (study,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The tables

    `study.scores()` has one line per model, row and cell of the grid; `study.rows()` has the properties of each row.
    Both are polars data frames, so most questions are answered by a join and a group-by. Here: the number of tokens
    recited before the first miss, by model and role.
    """)
    return


@app.cell
def _(study):
    cell = pl.col("context") == pl.col("context").max(), pl.col("continuation") == pl.col("continuation").max()
    scores = study.scores().filter(*cell).drop_nulls("verbatim").join(study.rows(), on="row")
    overview = scores.group_by("model", "role", maintain_order=True).agg(
        pl.len().alias("rows"),
        pl.col("verbatim").mean().alias("mean verbatim"),
        (pl.col("verbatim") == pl.col("continuation")).mean().alias("recited in full"),
    )
    overview
    return overview, scores


@app.cell
def _(overview):
    for _model, _role, _rows, _, _share in overview.iter_rows():
        print(f"{_model}, {_role}: {_share:.1%} of {_rows} rows recited in full")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The findings

    An analysis computes a finding from the tables: a claim with its interval, a control, charts as data. It needs
    neither the models nor the corpus. `mematlas list analyses` lists all analyses; if the study lacks data for one,
    its finding says what is missing.
    """)
    return


@app.cell
def _(study):
    findings = {finding.name: finding for finding in mematlas.analyze(study, only=["distribution", "size"])}
    mo.md("\n".join(f"- **{finding.name}**: {finding.claim}" for finding in findings.values()))
    return (findings,)


@app.cell
def _(findings):
    _drawings = [
        draw(chart, finding.table(chart.table), chart.title)
        for finding in findings.values()
        for chart in finding.charts[:1]
    ]
    pictures = [svg(drawing) for drawing in _drawings if drawing is not None]
    mo.Html("".join(f"<figure>{picture}</figure>" for picture in pictures))
    return (pictures,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## A custom figure

    Everything in the tables can be drawn. Here: the share of training rows of which at least a given number of tokens
    is recited, by how often a row was shown, for the last model. Control rows are at the bottom.
    """)
    return


@app.cell
def _(scores, study):
    _last = scores.filter(model=study.models()["model"][-1])
    _times_shown = pl.col("repetitions").cast(pl.String).fill_null("unknown")
    _rows = _last.with_columns(
        pl.when(role="control").then(pl.lit("control")).otherwise(_times_shown).alias("shown"),
        pl.when(role="control").then(-1).otherwise("repetitions").alias("order"),
    )
    _lengths = pl.DataFrame({"length": range(_last["continuation"][0] + 1)})
    survival = (
        _rows.join(_lengths, how="cross")
        .group_by("shown", "order", "length")
        .agg((pl.col("verbatim") >= pl.col("length")).mean().alias("share"))
        .sort("order", "length", nulls_last=True)
    )
    survival_chart = (
        alt.Chart(survival, description="Share of rows with at least a given number of recited tokens, by repetitions")
        .mark_line(interpolate="step-before", strokeWidth=2)
        .encode(
            x=alt.X("length:Q", title="minimum number of tokens recited before the first miss"),
            y=alt.Y("share:Q", title="share of rows", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "shown:N",
                title="times shown",
                sort=survival["shown"].unique(maintain_order=True).to_list(),
                scale=alt.Scale(range=["#565E68", "#A3C7E1", "#5BA3CF", "#1F6FAE", "#0B3A66", "#D55E00"]),
            ),
        )
        .properties(width=360, height=240)
        .configure_axis(titleFontWeight="normal")
    )
    survival_chart
    return (survival_chart,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Recompute a number by hand

    Each table of a finding comes with a recipe: at most three lines of polars that recompute the table from the
    study. You can check every number of a report yourself.
    """)
    return


@app.cell
def _(findings):
    table = findings["size"].tables[0]
    mo.md(f"```python\n{table.recipe}\n```")
    return (table,)


@app.cell
def _(study, table):
    _names = {"pl": pl, "recount": recount, "study": study}
    exec(table.recipe, _names)
    _keys = ["model", "role", "context", "continuation"]
    _both = table.frame.join(_names["answer"], on=_keys, suffix="_recomputed")
    difference = (_both["memorized_share"] - _both["memorized_share_recomputed"]).abs().max()
    print(f"{_both.height} of {table.frame.height} shares recomputed, largest difference {difference:.1e}")
    _both.select(*_keys, "memorized_share", "memorized_share_recomputed")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Export for a paper

    Every table can be exported as CSV and LaTeX (booktabs). `mematlas analyze STUDY --export csv,latex` exports the
    tables of all findings, and `mematlas report STUDY --format svg,pdf` writes every figure as a file.
    """)
    return


@app.cell
def _(findings, out):
    exported = export_finding(out / "exported", findings["size"], ["csv", "latex"])
    print("Exported:", ", ".join(path.name for path in exported))
    mo.md(f"```latex\n{exported[1].read_text(encoding='utf-8')}```")
    return


if __name__ == "__main__":
    app.run()
