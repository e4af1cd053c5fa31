"""`nhm lineage`: the way from the fields of documents to the pods, and which versions learned from a feedback."""

import json

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings


@click.command()
@click.argument("specialist", required=False)
@click.option("--version", metavar="N", help="A version of the SPECIALIST. Default: the one in Production.")
@click.option("--feature", metavar="NAME", help="Show one feature only.")
@click.option("--feedback", metavar="ID", help="Show where this feedback is, and which versions learned from it.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def lineage(
    specialist: str | None, version: str | None, feature: str | None, feedback: str | None, *, as_json: bool
) -> None:
    """Show what a version of a SPECIALIST was made from, what was decided about it, and which pods serve it.

    With --feedback, show every dataset that holds this feedback and every version that learned from it: what somebody
    must know who has to erase a person's review.
    """
    if (specialist is None) == (feedback is None):
        raise UsageError("name either a SPECIALIST or --feedback ID")
    if feedback and (version or feature):
        raise UsageError("--feedback shows one feedback: leave out --version and --feature")
    settings = Settings.load()
    if feedback:
        from nhm_assets.commands.lineage_of_feedback import facts_about_feedback, print_feedback

        facts = facts_about_feedback(settings, feedback)
        show = print_feedback
    else:
        from nhm_assets.commands.lineage_of_version import facts_about_version, print_version

        facts = facts_about_version(settings, str(specialist), version, feature)
        show = print_version
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        show(facts)
