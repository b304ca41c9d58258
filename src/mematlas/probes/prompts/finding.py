"""The findings of `mematlas probe prompts`."""

from mematlas.findings.finding import Finding
from mematlas.probes.prompts.perturbation import perturbation_finding
from mematlas.probes.prompts.shortest import shortest_finding
from mematlas.probes.rows.stages import ProbeResult


def prompt_findings(result: ProbeResult) -> list[Finding]:
    """A finding for each look of a finished probe, in order."""
    makers = {"shortest": shortest_finding, "perturb": perturbation_finding}
    return [make(result) for look, make in makers.items() if look in result.facts["looks"]]
