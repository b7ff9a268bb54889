"""Every metric that the operator exposes on /metrics. No label ever carries a user or a value."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("trimtab_events_total", "Changes taken from watches and lists.", ["kind"])
WRITES = Counter("trimtab_writes_total", "Writes to the API server that succeeded.", ["kind", "verb"])
WRITE_FAILURES = Counter("trimtab_write_failures_total", "Writes that did not happen, by reason.", ["reason"])
STATUS_FAILURES = Counter(
    "trimtab_status_failures_total", "Status writes that the API server did not take.", ["kind", "reason"]
)
DRIFT = Counter("trimtab_drift_total", "Hand edits of outputs that were put back.")
SNAPSHOTS_ALTERED = Counter(
    "trimtab_snapshots_altered_total", "Snapshots that were not used, as they hold not what their name says."
)
UNPROVED = Counter(
    "trimtab_unproved_objects_total",
    "Objects with Trimtab's labels that Trimtab did not make; they are left alone.",
)
RECONCILES = Counter(
    "trimtab_reconciles_total", "Passes over a template or group, by what came of it.", ["what", "result"]
)
RECONCILE_SECONDS = Histogram(
    "trimtab_reconcile_seconds",
    "Duration of one pass, its writes included.",
    ["what"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TRANSITIONS = Counter(
    "trimtab_rollout_transitions_total", "What happened to rollouts, by what it was.", ["kind", "reason"]
)
USERS_RESOLVED = Counter("trimtab_users_resolved_total", "Users resolved and rendered.")
QUEUE = Gauge("trimtab_queue_depth", "Templates and groups that wait for a pass.")
STATUS_QUEUE = Gauge("trimtab_status_queue_depth", "Status writes that wait.")
PREFERENCES = Gauge("trimtab_preferences", "UserPreferences in the store.")
GROUPS = Gauge("trimtab_groups", "Groups that are served.")
DELETIONS_HELD = Gauge(
    "trimtab_deletions_held",
    "Deletions that are not acted on, because the kind itself was going, gone, unreadable or created again.",
    ["kind"],
)
LEADER = Gauge("trimtab_leader", "1 while this process holds the Lease.")
LAST_EVENT_AGE = Gauge(
    "trimtab_watch_silence_seconds", "Seconds since the quietest watch last said anything."
)
LOOP_LAG = Gauge("trimtab_loop_lag_max_seconds", "Longest time that the event loop was blocked.")
RESTARTS = Counter(
    "trimtab_kopf_restarts_total", "Times that the kopf operator ended by itself and was started again."
)
