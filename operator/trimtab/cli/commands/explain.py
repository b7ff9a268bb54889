"""``trimtab explain``: each value of a user, who set it, what it hid, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trimtab.cli.errors import Failure
from trimtab.cli.options import Context, Kubeconfig, MaybeFiles, Namespace, Output
from trimtab.cli.view.output import Format, notes, print_table, row, say, show, table

if TYPE_CHECKING:
    from trimtab.cli.simulate.simulation import Simulation
    from trimtab.cli.view.explanation import Explained
    from trimtab.core.refs import TemplateKey


def explain(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The ConfigTemplate's name.")],
    user: Annotated[
        Optional[str], typer.Argument(metavar="USER", help="Whose values; or use --group.")  # noqa: UP045
    ] = None,
    key: Annotated[Optional[str], typer.Argument(metavar="KEY", help="One key, in detail.")] = None,  # noqa: UP045
    group: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Explain what users of this group read who have no preference."),
    ] = None,
    filename: MaybeFiles = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: Output = Format.TABLE,
) -> None:
    """Explain a user's values: which layer and object set each, what it shadowed, and what was refused.

    It reads the cluster, or with -f files alone. -n names the template's namespace; the user's preference may
    live in another. Sensitive values are never shown.

    Examples:

        trimtab explain music-agent alice

        trimtab explain music-agent alice agent.temperature -n music

        trimtab explain music-agent --group free -f template.yaml

        trimtab explain music-agent alice -f config/ -n music -o json

    Exit code: 0 explained, 1 no such template, user, group or key, or the cluster refused, 2 wrong usage.
    """
    if user is None and group is None:
        raise Failure("whose values? name a USER, or --group GROUP for users without a preference", 2)
    if user is not None and group is not None and key is None:
        user, key = None, user  # explain TEMPLATE KEY --group GROUP
    if user is not None and group is not None:
        raise Failure("name a USER or --group, not both", 2)
    if filename:
        if kubeconfig is not None or context is not None:
            raise Failure("-f works offline: leave --kubeconfig and --context away", 2)
        simulation, found, remarks = _from_files(filename, template, namespace or "default")
    else:
        from trimtab.cli.cluster.connection import Target

        simulation, found, remarks = _from_cluster(Target(kubeconfig, context), template, namespace, user)
    what = (
        _of_group(simulation, found, group) if group is not None else _of_user(simulation, found, str(user))
    )
    names = _chosen(what, key, grouped=group is not None)
    from trimtab.cli.view.explanation import to_dict

    show(to_dict(what, names), output, lambda: _people(what, names, detailed=key is not None))
    notes(remarks)


def _from_files(paths: list[str], name: str, namespace: str) -> tuple[Simulation, TemplateKey, list[str]]:
    from trimtab.cli.simulate.files import examine
    from trimtab.core.refs import TemplateKey
    from trimtab.core.suggestion import nearest

    done = examine(paths, namespace)
    for flaw in done.flaws:
        where = f"{flaw.place.source}:{flaw.spot.key_line}:{flaw.spot.key_column}"
        say(f"refused: {where}: {flaw.subject}: {flaw.violation}", stderr=True, style="red")
    named = [key for key in done.simulation.judged if key.name == name]
    here = TemplateKey(namespace, name)
    if here not in named and namespace == "default" and len(named) == 1:
        here = named[0]
    if here not in done.simulation.judged:
        known = sorted({str(key) for key in done.simulation.judged})
        hint = nearest(str(here), known) or ", ".join(known[:5])
        raise Failure(
            f"there is no valid-shaped ConfigTemplate {here} in the files"
            + (f"; there is {hint} (-n names the namespace)" if hint else "")
        )
    return done.simulation, here, done.notes


def _from_cluster(
    target: Any, name: str, namespace: str | None, user: str | None
) -> tuple[Simulation, TemplateKey, list[str]]:
    from trimtab.cli.cluster.connection import Cluster, with_cluster
    from trimtab.cli.cluster.gather import gather
    from trimtab.cli.simulate.simulation import Simulation
    from trimtab.core.refs import TemplateKey
    from trimtab.core.suggestion import nearest
    from trimtab.kube.resources import CONFIG_TEMPLATES

    async def read(cluster: Cluster) -> tuple[Simulation, TemplateKey, list[str]]:
        simulation, home = Simulation(), namespace or cluster.namespace
        body = await cluster.get(CONFIG_TEMPLATES, home, name)
        if body is None:
            names = [
                t["metadata"]["name"] async for t in cluster.each(CONFIG_TEMPLATES, dict[str, Any], home)
            ]
            hint = nearest(name, names) or ", ".join(sorted(names)[:5])
            more = f"there is {hint}" if hint else "-n names another namespace"
            raise Failure(f"there is no ConfigTemplate {name} in namespace {home}; {more}")
        remarks = await gather(cluster, simulation, body, user)
        await simulation.run()
        return simulation, TemplateKey(home, name), remarks

    return with_cluster(target, read)


def _of_user(simulation: Simulation, template: TemplateKey, user: str) -> Explained:
    from trimtab.cli.view.explanation import of_user
    from trimtab.core.suggestion import nearest

    claims = simulation.claimants(template, user)
    if not claims:
        others = sorted({p.user for p in simulation.preferences() if p.template == template})
        hint = nearest(user, others)
        raise Failure(
            f"no preference of {template} is for user {user}"
            + (f" (did you mean {hint}?)" if hint else "")
            + "; who has none reads the group's values: use --group GROUP"
        )
    what = of_user(simulation, claims[0], tuple(claims[1:]))
    if what is None:
        message = simulation.verdict(claims[0])["message"] or "its group is not served"
        raise Failure(f"{claims[0].namespace}/{claims[0].name}: {message}")
    return what


def _of_group(simulation: Simulation, template: TemplateKey, group: str) -> Explained:
    from trimtab.cli.view.explanation import of_group
    from trimtab.core.refs import GroupKey
    from trimtab.core.suggestion import nearest

    what = of_group(simulation, GroupKey(*template, group))
    if what is None:
        verdict = simulation.template_verdict(template)
        accepted = simulation.judged[template].accepted
        if accepted is None:
            raise Failure(f"{template} is not served: {verdict.message}")
        hint = nearest(group, accepted.schema.groups)
        raise Failure(
            f"{template} has no group {group}; "
            + (f"did you mean {hint}?" if hint else f"it has {', '.join(accepted.schema.groups) or 'none'}")
        )
    return what


def _chosen(what: Explained, key: str | None, *, grouped: bool) -> list[str]:
    from trimtab.core.suggestion import nearest

    keys = what.view.schema.keys
    if key is None:
        return list(keys)
    if key not in keys:
        hint = nearest(key, keys)
        if grouped and not hint:
            raise Failure(f"name a USER or --group, not both; {what.template} has no key {key}", 2)
        raise Failure(f"{what.template} has no key {key}" + (f"; did you mean {hint}?" if hint else ""))
    return [key]


def _people(what: Explained, names: list[str], *, detailed: bool) -> None:
    from trimtab.cli.view.report import finding

    _head(what)
    if detailed:
        _detail(what, names[0])
    else:
        made = table("KEY", "VALUE", "SET BY", "SHADOWS", "NOTES")
        for name in names:
            row(made, *_cells(what, name))
        print_table(made)
    for violation in what.violations:
        if not detailed or violation.key == names[0]:
            say(f"refused: {finding(violation)}", style="red")
    for warning in what.warnings:
        if not detailed or warning.get("key") == names[0]:
            say(f"warning: {warning.get('key', '')}: {warning['message']}", style="yellow")


def _head(what: Explained) -> None:
    preference = what.preference
    if what.refusal:
        say(f"{what.template} is refused, so what was accepted before is served: {what.refusal}", style="red")
    if what.group_ready.get("ready", "True") != "True":
        said = "{ready} ({reason}): {message}".format(**what.group_ready)
        say(f"group {what.group}: Ready={said}; its files may be older than what is shown here", style="red")
    where = f"template {what.template}, group {what.group}"
    if preference is None:
        say(f"users without a preference: {where}")
    else:
        say(f"user {preference.user}: {where}, UserPreference {preference.namespace}/{preference.name}")
        say("Ready={ready} ({reason}): {message}".format(**what.ready))
        waits = f"; generation {preference.generation} waits, see the notes" if what.waits else ""
        if what.in_force == "accepted" and what.accepted is not None:
            say(f"in force: what was accepted from generation {what.accepted.generation}{waits}")
        elif what.in_force == "group":
            say(f"in force: the group's values{waits}")
        for rival in what.rivals:
            say(
                f"also claimed by UserPreference {rival.namespace}/{rival.name}, which is younger and does not count"
            )
    say()


def _cells(what: Explained, name: str) -> tuple[str, ...]:
    told = what.key(name)
    shadows = ", ".join(f"{_text(s['value'])} ({s['layer']})" for s in told.get("shadowed", ()))
    remarks: list[str] = []
    if told.get("combined"):
        remarks.append("combined")
    remarks += _rules(told)
    remarks += [f"waits: {_cut(_text(told['waits']))}"] if "waits" in told else []
    remarks += [f"{t}: {told[t]}" for t in ("merge", "setBy", "deprecated") if told.get(t)]
    remarks += [t for t in ("required", "sensitive") if told.get(t)]
    value = _text(told["value"]) if "value" in told else "-"
    return name, _cut(value), told.get("layer", "unset"), _cut(shadows), ", ".join(remarks)


def _detail(what: Explained, name: str) -> None:
    told = what.key(name)
    made = table("", "")
    made.show_header = False
    row(made, "key", name)
    row(made, "type", told["type"])
    row(made, "value", _text(told["value"]) if "value" in told else "unset")
    if "layer" in told:
        row(made, "set by", f"{told['layer']}: {told['object']}")
    if "waits" in told:
        row(made, "waits", _text(told["waits"]))
    for shadow in told.get("shadowed", ()):
        verb = "combined with" if told.get("combined") else "shadows"
        row(made, verb, f"{_text(shadow['value'])} from {shadow['layer']}: {shadow['object']}")
    if "locked" in told:
        row(made, "locked", _by(told["locked"]))
    if "constrained" in told:
        rule = told["constrained"]
        row(made, rule["effect"].lower(), _by(rule))
        if rule["effect"] == "Clamped":
            row(made, "was", _text(rule["before"]))
        for lost in rule.get("dropped", ()):
            row(made, "was", f"{_text(lost['value'])} from {lost['layer']}: {lost['object']}")
    for trait in (
        "merge",
        "setBy",
        "required",
        "sensitive",
        "reload",
        "deprecated",
        "replacedBy",
        "description",
    ):
        if told.get(trait):
            row(made, trait, _text(told[trait]))
    print_table(made)


def _rules(told: dict[str, Any]) -> list[str]:
    """What policies did to a key, in a word each."""
    found = [f"locked {_by(told['locked'])}"] if "locked" in told else []
    rule = told.get("constrained")
    if rule is None:
        return found
    if rule["effect"] == "Clamped":
        return [*found, f"clamped from {_cut(_text(rule['before']))} {_by(rule)}"]
    lost = ", ".join(_text(setter["value"]) for setter in rule["dropped"])
    return [*found, f"dropped {_cut(lost)} {_by(rule)}"]


def _by(rule: dict[str, str]) -> str:
    """Which policy it was, and why."""
    return f"by {rule['object']}" + (f" ({rule['reason']})" if rule["reason"] else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
