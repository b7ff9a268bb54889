"""What gates expose on /metrics. No label carries an address or a name that somebody chose."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

GATE_MEASUREMENTS = Counter(
    "trimtab_gate_measurements_total", "Measurements of gates, by their type and result.", ["type", "result"]
)
GATE_HOSTS_OPEN = Gauge(
    "trimtab_gate_hosts_left_alone", "Hosts that gates do not ask for a while, as they failed too often."
)
