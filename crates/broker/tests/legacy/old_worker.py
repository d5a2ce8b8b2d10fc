"""A worker of the TypeScript system, written anew and literally from the documentation of its protocol: a double for tests.

One process, one job at a time, one command after the other, no check that the job is still its own. `UNIFIED_MACHINE_STATUS` is
true, as in every environment of that system. It takes `mock` jobs: `delay_ms`, and `fail_runs`, how often it fails first.

    WORKER_ID=old-1 MACHINE_ID=m2 python3 old_worker.py SOCKET LOG
"""

import json
import os
import socket
import sys
import time
from datetime import datetime, timezone

WORKER = os.environ["WORKER_ID"]
MACHINE = os.environ["MACHINE_ID"]
POLL = int(os.environ.get("WORKER_POLL_INTERVAL_MS", "1000")) / 1000
BEAT = int(os.environ.get("WORKER_HEARTBEAT_INTERVAL_MS", "30000")) / 1000
# What it waits between the end of its connector and the end of the job.
SETTLE = int(os.environ.get("SETTLE_MS", "100")) / 1000
SERVICES = ["comfyui"]
CAPABILITIES = {
    "worker_id": WORKER,
    "machine_id": MACHINE,
    "services": SERVICES,
    "job_service_required_map": SERVICES,
    "hardware": {"ram_gb": 8, "gpu_memory_gb": 8, "gpu_model": "Mock GPU"},
    "models": {},
    "customer_access": {"isolation": "loose", "max_concurrent_customers": 1},
    "performance": {"concurrent_jobs": 1, "quality_levels": ["fast"], "max_processing_time_minutes": 60},
    "metadata": {"version": "1.0.0", "node_version": "v20.0.0", "platform": "linux", "arch": "x64"},
}


class Redis:
    """RESP2 over a socket: a command, its answer."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.answers = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(parts))
        return self.answer()

    def answer(self):
        line = self.answers.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        if kind == b"$":
            return None if rest == b"-1" else self.answers.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]
        raise EOFError

    def hash(self, key):
        flat = self("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2]))


def iso():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms():
    return int(time.time() * 1000)


def publish(channel, message):
    redis("PUBLISH", channel, json.dumps(message))


def machine_event(kind, data):
    message = {"worker_id": WORKER, "event_type": kind, "data": data, "timestamp": ms()}
    publish(f"machine:{MACHINE}:worker:{WORKER}", message)


def status_event(status, job=None, **more):
    machine_event(
        "worker_status_changed",
        {"status": status, "is_connected": True, "current_job_id": job, "last_activity": ms(), **more},
    )


def worker_status(old, new, job):
    publish(
        "worker_status",
        {"worker_id": WORKER, "old_status": old, "new_status": new, "current_job_id": job, "timestamp": ms()},
    )


def beat():
    redis("HMSET", f"worker:{WORKER}", "last_heartbeat", iso())
    redis("SETEX", f"worker:{WORKER}:heartbeat", 60, iso())


def claim():
    try:
        found = redis("FCALL", "findMatchingJob", 0, json.dumps(CAPABILITIES), 100)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return None
    return json.loads(found) if found else None


def progress(job_id, percent, message):
    redis("HMSET", f"job:{job_id}:progress", "progress", percent, "status", "in_progress",
          "message", message, "updated_at", iso())
    publish(
        "update_job_progress",
        {"job_id": job_id, "worker_id": WORKER, "progress": percent, "status": "in_progress",
         "message": message, "timestamp": ms()},
    )


def key(job, job_id):
    step = job_id.removeprefix("step-")
    workflow = job.get("workflow_id")
    return (f"job-id:{workflow}:" if workflow else "") + f"step-id:{step}"


def number(text):
    try:
        return int(text or 0)
    except ValueError:
        return 0


def workflow(job):
    told = {"workflow_id": job["workflow_id"]} if job.get("workflow_id") else {}
    names = ["current_step", "total_steps", "workflow_priority", "workflow_datetime"]
    return told | {name: int(job[name]) for name in names if job.get(name)}


def idle():
    redis("HMSET", f"worker:{WORKER}", "status", "idle", "last_status_change", iso(), "current_job_id", "")
    worker_status("busy", "idle", "")
    status_event("idle")


def complete(job_id, result):
    job = redis.hash(f"job:{job_id}")
    retries = number(job.get("retry_count"))
    redis("SET", f"worker:completion:{key(job, job_id)}:attempt:{retries + 1}", json.dumps({
        "job_id": job_id, "worker_id": WORKER, "status": "completed", "completed_at": iso(),
        "result": json.dumps(result), "raw_service_output": json.dumps(result), "raw_service_request": None,
        "retry_count": retries, "workflow_id": job.get("workflow_id") or None,
        "current_step": job.get("current_step") or None, "total_steps": job.get("total_steps") or None,
        "machine_id": MACHINE, "worker_version": "1.0.0", "attestation_created_at": ms(),
    }))
    redis("HMSET", f"job:{job_id}", "status", "completed", "completed_at", iso())
    redis("HDEL", f"jobs:active:{WORKER}", job_id)
    redis("HSET", "jobs:completed", job_id,
          json.dumps({"success": True, "data": result, "completed_at": iso()}))
    redis("EXPIRE", "jobs:completed", 86400)
    publish("complete_job", {
        "job_id": job_id, "worker_id": WORKER, "progress": 100, "status": "completed",
        "message": "Job completed successfully", "result": result, "timestamp": ms(), **workflow(job),
    })
    idle()
    machine_event("job_completed", {"job_id": job_id, "service_type": "comfyui"})


def fail(job_id, error):
    job = redis.hash(f"job:{job_id}")
    if not job:
        return
    retries = number(job.get("retry_count")) + 1
    limit = number(job.get("max_retries")) or 3
    again = retries < limit
    record = {
        "attestation_type": "failure_retry" if again else "failure_permanent", "job_id": job_id,
        "worker_id": WORKER, "status": "failed_retrying" if again else "failed_permanent",
        "error_message": error, "retry_count": retries, "will_retry": again, "max_retries": limit,
    }
    end = f"attempt:{retries}" if again else "permanent"
    redis("SET", f"worker:failure:{key(job, job_id)}:{end}", json.dumps(record))
    if again:
        redis("HMSET", f"job:{job_id}", "status", "pending", "worker_id", "", "assigned_at", "",
              "retry_count", retries, "last_failed_worker", WORKER, "failed_at", iso())
        created = datetime.fromisoformat(job["created_at"].replace("Z", "+00:00")).timestamp() * 1000
        score = number(job.get("priority")) * 1000000 + (9007199254740991 - int(created))
        redis("ZADD", "jobs:pending", score, job_id)
    else:
        redis("HMSET", f"job:{job_id}", "status", "failed", "failed_at", iso(),
              "retry_count", retries, "last_failed_worker", WORKER)
        redis("HSET", "jobs:failed", job_id,
              json.dumps({"error": error, "failed_at": iso(), "retry_count": retries}))
        redis("EXPIRE", "jobs:failed", 604800)
    redis("HDEL", f"jobs:active:{WORKER}", job_id)
    if not again:
        publish("job_failed", {
            "job_id": job_id, "worker_id": WORKER, "status": "failed", "error": error, "failed_at": iso(),
            "retry_count": retries, "can_retry": False, "timestamp": ms(),
        })
    idle()
    publish("job_failed", {"job_id": job_id, "service_type": "comfyui", "error": error})


def work(found):
    job_id, job = found["jobId"], found["job"]
    worker_status("idle", "busy", job_id)
    status_event("busy", job_id)
    log("start", job_id)
    redis("HMSET", f"job:{job_id}", "status", "in_progress", "started_at", iso())
    machine_event("job_started", {"job_id": job_id, "service_type": "comfyui"})
    payload = json.loads(job["payload"])
    progress(job_id, 10, "Processing")
    time.sleep(payload.get("delay_ms", 0) / 1000)
    progress(job_id, 90, "Nearly done")
    time.sleep(SETTLE)
    if number(job.get("retry_count")) < payload.get("fail_runs", 0):
        fail(job_id, "the mock was told to fail")
    else:
        log("done", job_id)
        complete(job_id, {"success": True, "data": {"by": WORKER}, "processing_time_ms": 1})


def log(what, job_id):
    os.write(LOG, f"{what} {job_id} {WORKER}\n".encode())


redis = Redis(sys.argv[1])
LOG = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
redis("PING")
beat()
beaten = time.monotonic()
status_event("idle", capabilities=SERVICES)
while True:
    if time.monotonic() - beaten >= BEAT:
        beat()
        beaten = time.monotonic()
    found = claim()
    if found:
        work(found)
    time.sleep(POLL)
