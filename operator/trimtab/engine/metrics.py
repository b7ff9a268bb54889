"""Every metric that the operator exposes on /metrics. No label ever carries a user or a value."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("trimtab_events_total", "Changes received from watches and lists.", ["kind"])
WRITES = Counter("trimtab_writes_total", "Writes to the API server that succeeded.", ["kind", "verb"])
WRITE_FAILURES = Counter("trimtab_write_failures_total", "Writes of outputs that failed.", ["reason"])
STATUS_FAILURES = Counter(
    "trimtab_status_failures_total", "Status writes that the API server refused.", ["kind", "reason"]
)
DRIFT = Counter("trimtab_drift_total", "Manual changes of outputs that were reverted.")
SNAPSHOTS_ALTERED = Counter(
    "trimtab_snapshots_altered_total",
    "Snapshots that were not used, because their content does not match their name.",
)
UNPROVED = Counter(
    "trimtab_unproved_objects_total",
    "Objects with Trimtab's labels that Trimtab did not create and does not change.",
)
RECONCILES = Counter(
    "trimtab_reconciles_total", "Passes over entries of the queue, by result.", ["what", "result"]
)
RECONCILE_SECONDS = Histogram(
    "trimtab_reconcile_seconds",
    "Duration of a pass, including its writes.",
    ["what"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TRANSITIONS = Counter(
    "trimtab_rollout_transitions_total", "Transitions of rollouts, by reason.", ["kind", "reason"]
)
USERS_RESOLVED = Counter("trimtab_users_resolved_total", "Users resolved and rendered.")
QUEUE = Gauge("trimtab_queue_depth", "Entries that wait for a pass.")
STATUS_QUEUE = Gauge("trimtab_status_queue_depth", "Status writes that wait.")
PREFERENCES = Gauge("trimtab_preferences", "UserPreferences in the store.")
GROUPS = Gauge("trimtab_groups", "Rendered groups.")
DELETIONS_HELD = Gauge(
    "trimtab_deletions_held",
    "Deletions that are not carried out, because the kind itself was deleted, unreadable or recreated.",
    ["kind"],
)
LEADER = Gauge("trimtab_leader", "1 while this process holds the Lease.")
LAST_EVENT_AGE = Gauge("trimtab_watch_silence_seconds", "Seconds since the last event of the quietest watch.")
LOOP_LAG = Gauge("trimtab_loop_lag_max_seconds", "Longest time that the event loop was blocked.")
RESTARTS = Counter(
    "trimtab_kopf_restarts_total", "Times that the kopf operator ended unexpectedly and was restarted."
)
