"""`velocity audit`, `gc`, `doctor`, `bench`: proof and upkeep."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Json, settings_of
from console.errors import CommandFailed

if TYPE_CHECKING:
    from console.audit_run import AuditReport

SHOWN = 20


def audit(
    ctx: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every file, and account for every single offset of the source.")
    ] = False,
    head: Annotated[
        str | None, typer.Option("--head", metavar="HASH", help="A head of the audit log that you noted earlier.")
    ] = None,
    json: Json = False,
) -> None:
    """Prove that nothing was lost: every delivered record is in a batch, a correction, a dead letter or an open window.

    Without --deep the cumulative counts must agree with the manifests, the dead letters and the open windows, and every
    batch file must be there with its SHA-256. With --deep every file is decoded, and every offset that the source still
    retains is accounted for. Exit 1 names the first broken offset. Workers may go on running meanwhile.

    The audit log is followed from entry to entry: one that was edited, removed, inserted or moved is named. What an end
    that was cut off cannot show by itself, --head does: note the head that is printed, and ask for it next time.

    \b
    Examples:
      velocity audit
      velocity audit --head 3f6c…
      velocity audit --deep --json | jq .complete
    """
    from console.audit_run import audit as run_audit

    report = run_audit(settings_of(ctx, with_topics=True), deep=deep, noted_head=head)
    if json:
        screen.say_json(report.as_json())
    else:
        show_accounts(report)
        show_verdict(report)
    raise typer.Exit(0 if report.complete else 1)


def show_accounts(report: "AuditReport", title: str = "") -> None:
    """Where every record is, by source topic."""
    columns = ("source topic", "delivered", "in batches", "in corrections", "dead letters", "open", "gaps")
    rows = [
        (topic, t.delivered, t.in_batches, t.in_corrections, t.dead_lettered, t.open, t.gaps)
        for topic, t in {**report.by_source, "all": report.totals}.items()
    ]
    screen.say_table(columns, rows, title)


def show_verdict(report: "AuditReport", *, with_head: bool = True) -> None:
    """What was found, the audit log's head (note it elsewhere), and in the last line whether the audit is complete."""
    from console.audit import first_broken

    for note in report.findings.notes[:SHOWN]:
        screen.say(f"note: {note}")
    for problem in report.findings.problems[:SHOWN]:
        screen.say(f"problem: {problem}", style="red")
    for things, kind in ((report.findings.notes, "notes"), (report.findings.problems, "problems")):
        if len(things) > SHOWN:
            screen.say(f"… and {len(things) - SHOWN:,} more {kind}; --json has all")
    if report.ids_counted_twice:
        screen.say(f"note: {report.ids_counted_twice:,} records repeat an event id; each fact is counted once")
    broken = first_broken(report.findings.problems)
    if broken is not None and broken.offset is not None:
        screen.say(f"first broken offset: {broken.where}/{broken.offset}", style="red")
    if with_head and report.trail.entries:
        screen.say(f"audit log: {report.trail.entries:,} entries, head {report.trail.head}")
    how = f"{report.batches:,} batches of {report.partitions} source partitions{', offset by offset' * report.deep}"
    verdict = "complete" if report.complete else "NOT complete"
    screen.say(f"audit: {verdict} ({how})", style="green" if report.complete else "red")


def gc(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Remove batch files that no manifest names and never will: leftovers of checkpoints that were not committed.

    A file stays while its checkpoint may still be committed. Workers may go on running meanwhile. Temporary files go,
    too, of workers that left the group more than a day ago: one that does not come back cannot remove them itself.

    \b
    Example:
      velocity gc --dry-run
    """
    from console.gc import sweep

    swept = asyncio.run(sweep(settings_of(ctx, with_topics=True), dry_run=dry_run))
    if json:
        screen.say_json(swept)
        return
    for path in swept.removed:
        screen.say(path)
    screen.say(f"{len(swept.removed):,} files {'would be ' * dry_run}removed, {swept.bytes:,} bytes")
    for worker in swept.workers:
        screen.say(f"temporary files of {worker}, which is gone")
    if swept.workers:
        screen.say(f"{swept.temporary_bytes:,} bytes of temporary files {'would be ' * dry_run}removed")
    if swept.kept:
        screen.remark(f"{len(swept.kept):,} files are kept: their checkpoints are not committed yet")
    if swept.foreign:
        screen.remark(f"{len(swept.foreign):,} files are no batches and were left alone, such as {swept.foreign[0]}")


def doctor(ctx: typer.Context, json: Json = False) -> None:
    """Check what the system needs here: settings, store, Kafka, topics, workers. Exit 1 if something cannot work.

    \b
    Example:
      velocity doctor
    """
    from console.doctor import Grade, examine

    checks = asyncio.run(examine(settings_of(ctx)))
    if json:
        screen.say_json(checks)
    else:
        screen.say_table(("", "what", "found"), [(check.grade.value, check.name, check.found) for check in checks])
        for check in checks:
            if check.advice:
                screen.say(f"{check.name}: {check.advice}", style="yellow")
    raise typer.Exit(1 if any(check.grade is Grade.FAIL for check in checks) else 0)


def bench(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="OPTIONS", help="See `velocity bench -- --help`.")
    ] = None,
) -> None:
    """Measure this machine: consumers, the stream worker, the batch stage, a recalculation. From a source checkout.

    \b
    Example:
      velocity bench --json
    """
    try:
        from benchmarks.run import main
    except ImportError as error:
        raise CommandFailed(f"the benchmarks come with the source checkout, not with the package ({error})") from error
    raise typer.Exit(main(arguments or []))
