"""Fault injection: points in a batch's life at which a test can kill or freeze this process.

    RECON_WORKER_FAULT_POINT="kill after_claim 3"

sends the process SIGKILL (`stop`: SIGSTOP) when it reaches the point for the third time. The
variable is read once, at import. It is deliberately not a setting, so no manifest and no list of
settings offers it; without it, `reach` does nothing.
"""

import logging
import os
import signal

VARIABLE = "RECON_WORKER_FAULT_POINT"
# In the order of a batch's life; from after_failure on, off the usual path.
BATCH_POINTS = (
    "before_claim",
    "after_claim",
    "after_fence",
    "after_posting",
    "after_commit",
    "before_notice",
    "after_failure",
    "after_bisection",
    "after_retry",
    "after_renewal",
    "after_rescue",
)
# Of matching statements.
MATCHING_POINTS = (
    "after_cut_chunk",
    "after_run_start",
    "in_match_chunk",
    "after_match_chunk",
    "before_run_finish",
    "after_undo_chunk",
    "in_adjustment",
    "after_adjustment",
)
# In the order of an import of a statement file.
IMPORT_POINTS = ("after_staging", "before_import_commit")
# In the order of a webhook's life: its deliveries are written, sent, recorded.
WEBHOOK_POINTS = ("before_fan_out_commit", "after_webhook_sent", "before_webhook_commit")
POINTS = (*BATCH_POINTS, *MATCHING_POINTS, *IMPORT_POINTS, *WEBHOOK_POINTS)
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

log = logging.getLogger(__name__)


class FaultPoint:
    """The armed point, if any; `text` is the variable's value. Raises ValueError."""

    def __init__(self, text: str | None) -> None:
        self.point: str | None = None
        if text is None:
            return
        try:
            action, point, times = text.split()
            self._signal, self._times_left = SIGNALS[action], int(times)
        except (KeyError, ValueError):
            point = ""
        if point not in POINTS or self._times_left < 1:
            raise ValueError(
                f"{VARIABLE} must be ACTION POINT TIMES, such as 'kill after_claim 1';"
                f" actions: {', '.join(SIGNALS)}; points: {', '.join(POINTS)}"
            )
        self.point = point
        log.warning("fault_point_armed", extra={"fault_point": text})

    def reach(self, point: str) -> None:
        """Kill or freeze this process if `point` is armed and was reached often enough."""
        if point != self.point:
            return
        self._times_left -= 1
        if not self._times_left:
            os.kill(os.getpid(), self._signal)


reach = FaultPoint(os.environ.get(VARIABLE)).reach
