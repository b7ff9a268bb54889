"""The metrics of gates. No label contains an address or a name that a user chose."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

GATE_MEASUREMENTS = Counter(
    "trimtab_gate_measurements_total", "Measurements of gates, by their type and result.", ["type", "result"]
)
GATE_OPEN_CIRCUITS = Gauge("trimtab_gate_open_circuits", "Gate hosts with an open circuit breaker.")
