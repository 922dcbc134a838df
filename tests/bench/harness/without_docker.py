"""The public harness without Docker: its orchestrator on a server that is there, with whisperer's adapter registered.

    python3 without_docker.py CHECKOUT RESULTS NODE ADAPTER RATE WORKERS PHASE ...

PGPORT says which server; it must let a superuser bench in over localhost.  The phases are the harness's: warmup=warmup:30s.
"""
import os
import sys
from pathlib import Path

checkout, results, node, adapter, rate, workers, *phases = sys.argv[1:]
sys.path.insert(0, checkout)

from bench_harness import adapters, orchestrator, phases as harness_phases  # noqa: E402


def launch(manifest, overrides):
    return adapters.LaunchSpec(argv=[node, adapter], env=adapters._base_env(manifest, overrides))


def unavailable(*_):
    raise RuntimeError("phases that restart the server need the harness's own, in Docker")


adapters.PG_PORT = int(os.environ["PGPORT"])
adapters.ADAPTERS["whisperer"] = adapters.AdapterEntry(
    bench_dir=Path(adapter).parent, builder=lambda skip: None, launcher=launch)
orchestrator.RESULTS_ROOT = Path(results)
orchestrator.start_postgres = orchestrator.stop_postgres = lambda image: None
orchestrator._restart_postgres = orchestrator._compose_stop_postgres = orchestrator._compose_start_postgres = unavailable
orchestrator.drive(
    systems=["whisperer"], scenario=None, phases=harness_phases.resolve_scenario(None, phases), pg_image="none", fast=True,
    skip_build=True, sample_every_s=5, producer_rate=int(rate), producer_mode="fixed", target_depth=1000,
    worker_count=int(workers), high_load_multiplier=1.5, awa_completion_batch_size=None, replicas=1, cli_args=sys.argv)
