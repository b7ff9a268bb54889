"""Long work of one template or namespace leaves slots to others, and no state of deleted ones is kept."""

from __future__ import annotations

import asyncio

from trimtab.core.refs import TemplateKey
from trimtab.engine.scheduling.concurrency import Lanes


async def test_other_templates_run_while_a_template_or_a_namespace_uses_all_of_its_slots() -> None:
    lanes, held = Lanes(2), list[TemplateKey]()

    async def hold(whose: TemplateKey) -> None:
        async with lanes.slot(whose):
            held.append(whose)
            await asyncio.sleep(100)

    mine, beside, elsewhere = (TemplateKey(*place) for place in (("a", "one"), ("a", "two"), ("b", "one")))
    tasks = [asyncio.create_task(hold(whose)) for whose in (*[mine] * 9, *[beside] * 9, *[elsewhere] * 9)]
    await asyncio.sleep(1)
    assert held == [mine, mine, beside, elsewhere]
    await asyncio.gather(*tasks)
    assert sorted(held) == sorted([mine, beside, elsewhere] * 9)
