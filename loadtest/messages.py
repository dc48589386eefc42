"""What master and workers tell each other, over locust's own connections.

Master to each worker, in this order: `PREPARE` (make the plan), `GO` (a common start time), perhaps `STOP`.
Each worker to the master: `PREPARED` or `FAILED`; then once a second `RECORDS` and `SAMPLE`; at the end
`DONE` with the number of its records, so that the master knows when it has them all.
"""

PREPARE = "modem-prepare"
PREPARED = "modem-prepared"
FAILED = "modem-failed"
GO = "modem-go"
STOP = "modem-stop"
RECORDS = "modem-records"
SAMPLE = "modem-sample"
DONE = "modem-done"

EMITTED = {"records": RECORDS, "sample": SAMPLE, "done": DONE}
"""Messages by the kind that `loadtest.generator.Generator` emits."""
